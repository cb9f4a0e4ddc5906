"""Every adapter that is no LoRA: it learns, resumes, reloads as the very model that was trained, and merges."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from pipeline.core.context import CallContext
from pipeline.core.errors import Cancelled, ConfigError
from pipeline.core.models import ModelFiles
from schemas.adapters import ADAPTERS, OTHERS
from schemas.artifacts import Stored
from schemas.base_model import BaseModelRef
from schemas.data import DataArtifact
from schemas.optimize import OptimizeConfig, OptimizeInputs, VariantSpec
from tests.support.stored import stored, workspace
from tests.support.training import reloaded_loss, run_stage, train_config

PROMPT = list(range(5, 30))

SETTINGS: dict[str, dict[str, Any]] = {"vera": {"r": 16}, "loha": {"r": 4}, "lokr": {"r": 2}}


def config_of(kind: str, base: BaseModelRef, **changes: Any) -> Any:
    settings = {"adapter": kind, kind: SETTINGS.get(kind, {}), "num_train_epochs": 2, "learning_rate": 3e-2}
    return train_config(base, **{**settings, **changes})


def logits(model: Any) -> Any:
    import torch

    model.eval()
    with torch.no_grad():
        return model(input_ids=torch.tensor([PROMPT])).logits


@pytest.mark.slow
@pytest.mark.parametrize("kind", OTHERS)
def test_it_learns_resumes_and_reloads_exactly(
    kind: str, tiny: BaseModelRef, rows: Stored[DataArtifact], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from pipeline.backends.model_transformers import load_causal_lm
    from pipeline.backends.training import loop

    trained_logits: list[Any] = []
    export = loop.export_model

    def watched(model: Any, job: Any) -> None:
        trained_logits.append(logits(model))
        export(model, job)

    monkeypatch.setattr(loop, "export_model", watched)
    trained = run_stage(tmp_path / "whole", config_of(kind, tiny), rows)
    assert tiny.weights is not None
    assert trained.artifact.eval_loss is not None
    assert trained.artifact.eval_loss < reloaded_loss(tiny.weights.location, None, rows) - 0.02
    folder = trained.workspace.output / "model"
    base = tiny.weights.location
    reloaded = logits(load_causal_lm(ModelFiles(base, None, folder, str(folder), False)))
    assert torch.equal(reloaded, trained_logits[0])
    assert not torch.allclose(reloaded, logits(load_causal_lm(ModelFiles(base, None, None, base, False))), atol=1e-3)
    with pytest.raises(Cancelled):
        run_stage(tmp_path / "parts", config_of(kind, tiny), rows, stop_at=5)
    assert run_stage(tmp_path / "parts", config_of(kind, tiny), rows).digest == trained.digest


@pytest.mark.slow
@pytest.mark.parametrize("kind", OTHERS)
def test_it_merges(kind: str, tiny: BaseModelRef, rows: Stored[DataArtifact], tmp_path: Path) -> None:
    from pipeline.optimize.stage import run

    trained = run_stage(tmp_path / "train", config_of(kind, tiny), rows)
    parent = stored("train", trained.workspace.output, trained.artifact)
    config = OptimizeConfig(variant=VariantSpec.model_validate("merged"), base=tiny)
    merged = run(config, OptimizeInputs(parent=parent, data=rows), CallContext(), workspace(tmp_path / "merged"))
    assert OTHERS[kind].merges  # type: ignore[index]
    assert 0 <= merged.logit_difference < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, line in ADAPTERS.items() if line.quantized and line.options])
def test_what_the_table_says_fits_a_base_in_4_bits_learns_there(
    name: str, tiny: BaseModelRef, rows: Stored[DataArtifact], work: Path
) -> None:
    lora = {"r": 4, "lora_alpha": 8, **ADAPTERS[name].options}
    trained = run_stage(work, train_config(tiny, adapter="qlora", lora=lora, num_train_epochs=2), rows)
    assert tiny.weights is not None
    assert trained.artifact.eval_loss is not None
    assert trained.artifact.eval_loss < reloaded_loss(tiny.weights.location, None, rows) - 0.02


@pytest.mark.slow
@pytest.mark.parametrize("kind", OTHERS)
def test_first_dpo_loss_is_ln_2(kind: str, tiny: BaseModelRef, pairs: Stored[DataArtifact], work: Path) -> None:
    """The reference is the base with the adapter disabled: every margin is 0 at first."""
    trained = run_stage(work, config_of(kind, tiny, method="dpo"), pairs)
    assert trained.log[0]["loss"] == pytest.approx(math.log(2), abs=1e-5)
    assert trained.artifact.eval_loss is not None
    assert trained.artifact.eval_loss < math.log(2)


@pytest.mark.parametrize(
    ("kind", "options", "says"),
    [
        ("boft", {"target_modules": ["q_porj"]}, r"train\.boft\.target_modules.*'q_porj'.*q_proj"),
        ("oft", {"target_modules": r".*\.mlp\..*"}, r"train\.oft\.target_modules.*act_fn is no linear layer"),
        ("ln_tuning", {"target_modules": ["q_proj"]}, r"train\.ln_tuning\.target_modules.*q_proj is no norm"),
        ("boft", {"boft_block_size": 7}, r"train\.boft\.boft_block_size.*7 does not divide the 64 inputs of .*q_proj"),
    ],
)
def test_what_does_not_fit_the_model_is_named(
    tiny: BaseModelRef, rows: Stored[DataArtifact], work: Path, kind: str, options: dict[str, Any], says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        run_stage(work, config_of(kind, tiny, **{kind: options}), rows)
