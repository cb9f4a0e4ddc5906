"""What only a CUDA device shows of training: its own arithmetic, four-bit bases, and checkpoints of its state."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from pipeline.core.errors import Cancelled
from schemas.artifacts import Stored
from schemas.base_model import BaseModelRef
from schemas.data import DataArtifact
from tests.support.training import reloaded_loss, run_stage, train_config

pytestmark = pytest.mark.gpu


@pytest.fixture(autouse=True)
def cuda() -> None:
    """Skip where there is no GPU."""
    import torch

    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")


@pytest.mark.parametrize("adapter", ["lora", "full"])
def test_what_the_gpu_trained_has_its_loss_on_the_cpu(
    tiny: BaseModelRef, rows: Stored[DataArtifact], work: Path, adapter: str
) -> None:
    trained = run_stage(work, train_config(tiny, adapter=adapter, bf16=False), rows)
    assert tiny.weights is not None
    assert trained.artifact.eval_loss is not None
    model = trained.workspace.output / "model"
    base, peft = (str(model), None) if adapter == "full" else (tiny.weights.location, model)
    assert math.isclose(trained.artifact.eval_loss, reloaded_loss(base, peft, rows), rel_tol=1e-4)


def test_bfloat16_is_taken_where_the_gpu_has_it(tiny: BaseModelRef, rows: Stored[DataArtifact], work: Path) -> None:
    import torch

    trained = run_stage(work, train_config(tiny), rows)
    assert trained.artifact.dtype == ("bfloat16" if torch.cuda.is_bf16_supported() else "float32")


def test_an_adapter_on_four_bits_reloads(tiny: BaseModelRef, rows: Stored[DataArtifact], work: Path) -> None:
    from benchmarks.gpu.reload import four_bit_loss

    trained = run_stage(work, train_config(tiny, adapter="qlora", bf16=True), rows)
    assert tiny.weights is not None
    assert trained.artifact.eval_loss is not None
    loss = four_bit_loss(Path(tiny.weights.location), trained.workspace.output / "model", rows.file("validation.jsonl"))
    # Batches and single rows are rounded to bfloat16 (8 bits) in another order.
    assert math.isclose(trained.artifact.eval_loss, loss, rel_tol=1e-2)


@pytest.mark.parametrize(
    "changes",
    [{"lora": {"r": 4, "lora_alpha": 8, "lora_dropout": 0.3}}, {"adapter": "full"}, {"adapter": "qlora"}],
    ids=["lora with dropout", "full", "qlora"],
)
def test_resumed_is_uninterrupted(
    tiny: BaseModelRef, rows: Stored[DataArtifact], tmp_path: Path, changes: dict[str, Any]
) -> None:
    config = train_config(tiny, num_train_epochs=2, **changes)
    whole = run_stage(tmp_path / "whole", config, rows)
    with pytest.raises(Cancelled):
        run_stage(tmp_path / "parts", config, rows, stop_at=3)
    parts = run_stage(tmp_path / "parts", config, rows)
    assert parts.digest == whole.digest
    assert parts.artifact == whole.artifact
