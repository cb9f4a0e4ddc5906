"""Variants of what training really leaves: LoRA, and QLoRA's adapter on full-precision weights."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.core.context import CallContext
from pipeline.optimize.stage import run
from pipeline.train.stage import run as train
from schemas.optimize import OptimizeConfig, OptimizeInputs, VariantSpec
from schemas.train import TrainInputs
from tests.support.stored import stored, workspace
from tests.support.tiny_model import write_tiny_base
from tests.support.training import base, train_config
from tests.support.variants import split_data


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes", [{"adapter": "qlora"}, {"adapter": "lora", "lora": {"r": 4, "lora_alpha": 8, "use_dora": True}}]
)
def test_a_trained_adapter_merges(tmp_path: Path, changes: dict[str, object]) -> None:
    start = write_tiny_base(tmp_path / "base")
    data = split_data(tmp_path / "data")
    place = workspace(tmp_path / "train")
    config = train_config(base(start), num_train_epochs=2, **changes)
    artifact = train(config, TrainInputs(data=data), CallContext(), place)
    trained = stored("train", place.output, artifact)

    merged = run(
        OptimizeConfig(variant=VariantSpec.model_validate("merged"), base=base(start)),
        OptimizeInputs(parent=trained, data=data),
        CallContext(),
        workspace(tmp_path / "merged"),
    )
    assert 0 <= merged.logit_difference < 1e-4
    assert merged.tied_embeddings
    assert merged.template_digest == artifact.template_digest
