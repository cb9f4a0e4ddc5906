"""Methods that learn from preferences: each trains, goes on where it was stopped, and leaves what it measured."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from pipeline.core.errors import Cancelled, DataError
from pipeline.core.examples import read_examples
from schemas.artifacts import Stored
from schemas.base_model import BaseModelRef
from schemas.data import DataArtifact, Example
from schemas.methods import METHODS
from tests.support.training import data_artifact, run_stage, train_config

pytestmark = pytest.mark.slow

COMPARING = tuple(name for name, method in METHODS.items() if method.compares)


def accuracies(events: Any) -> list[float]:
    """Return how many of the validation pairs the model prefers rightly, at each evaluation."""
    return [event.data["eval_rewards/accuracies"] for event in events if "eval_rewards/accuracies" in event.data]


@pytest.mark.parametrize("method", COMPARING)
def test_a_method_learns_and_goes_on_to_the_same_bytes(
    tiny: BaseModelRef, pairs: Stored[DataArtifact], tmp_path: Path, method: Any
) -> None:
    config = train_config(
        tiny, method=method, learning_rate=1e-2, num_train_epochs=4, per_device_train_batch_size=4, eval_steps=4
    )
    trained = run_stage(tmp_path / "whole", config, pairs)
    evaluated = [line["eval_loss"] for line in trained.log if "eval_loss" in line]
    assert evaluated[-1] < evaluated[0]
    if found := accuracies(trained.events):
        assert found[-1] == 1.0
    with pytest.raises(Cancelled):
        run_stage(tmp_path / "parts", config, pairs, stop_at=5)
    assert run_stage(tmp_path / "parts", config, pairs).digest == trained.digest


@pytest.mark.parametrize("method", ["kto", "simpo"])
def test_a_whole_model_is_trained_too(tiny: BaseModelRef, pairs: Stored[DataArtifact], work: Path, method: Any) -> None:
    trained = run_stage(work, train_config(tiny, method=method, adapter="full", num_train_epochs=3), pairs)
    losses = [line["loss"] for line in trained.log if "loss" in line]
    assert losses[-1] < losses[0]


def test_kto_begins_at_one_half(tiny: BaseModelRef, pairs: Stored[DataArtifact], work: Path) -> None:
    # The policy is the reference: log ratios and their estimate are 0, and each answer's loss is 1 - sigmoid(0).
    trained = run_stage(work, train_config(tiny, method="kto", max_steps=1), pairs)
    assert trained.log[0]["loss"] == pytest.approx(0.5, abs=1e-6)


@pytest.mark.parametrize("adapter", ["lora", "full"])
def test_the_reference_in_advance_gives_the_same_model(
    tiny: BaseModelRef, pairs: Stored[DataArtifact], tmp_path: Path, adapter: str
) -> None:
    options = {"method": "dpo", "adapter": adapter, "num_train_epochs": 2}
    asked = run_stage(tmp_path / "asked", train_config(tiny, **options), pairs)
    before = run_stage(
        tmp_path / "before", train_config(tiny, **options, dpo={"precompute_ref_log_probs": True}), pairs
    )
    assert before.log[0]["loss"] == pytest.approx(math.log(2), abs=1e-6)
    assert [line.get("loss") for line in before.log] == pytest.approx(
        [line.get("loss") for line in asked.log], abs=1e-5
    )
    assert any("asking the reference" in str(event.data) + event.message for event in before.events)


@pytest.mark.parametrize(
    "dpo",
    [
        {"loss_type": ["sigmoid", "sft"], "loss_weights": [1.0, 0.5]},
        {"loss_type": ["robust"], "label_smoothing": 0.1},
        {"loss_type": ["ipo"]},
        {"loss_type": ["discopop"], "discopop_tau": 0.1},
        {"f_divergence_type": "js_divergence"},
        {"ld_alpha": 0.5},
        {"use_weighting": True},
    ],
    ids=str,
)
def test_a_loss_of_the_family_reaches_trl(
    tiny: BaseModelRef, pairs: Stored[DataArtifact], work: Path, dpo: dict[str, Any]
) -> None:
    trained = run_stage(work, train_config(tiny, method="dpo", dpo=dpo, max_steps=3, learning_rate=1e-2), pairs)
    assert trained.artifact.eval_loss is not None and math.isfinite(trained.artifact.eval_loss)
    plain = math.log(2)
    assert trained.log[0]["loss"] != pytest.approx(plain, abs=1e-9) or "loss_type" not in dpo


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"method": "simpo", "packing": True}, "packing joins rows of sft"),
        ({"method": "kto", "per_device_train_batch_size": 1}, "set per_device_train_batch_size to 2 or more"),
        ({"method": "dpo", "dpo": {"loss_type": ["robust"]}}, "set label_smoothing"),
        ({"method": "dpo", "dpo": {"loss_weights": [1.0, 1.0]}}, "a weight for each loss"),
        ({"method": "kto", "kto": {"precompute_ref_log_probs": True}}, "none is precomputed"),
    ],
)
def test_what_does_not_fit_is_refused(tiny: BaseModelRef, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        train_config(tiny, **changes)


def test_answers_with_a_verdict_each_train_as_the_pairs_that_they_come_from(
    tiny: BaseModelRef, pairs: Stored[DataArtifact], tmp_path: Path
) -> None:
    def sides(split: str) -> list[Example]:
        return [
            row.model_copy(update={"messages": (*row.messages, *side), "chosen": (), "rejected": (), "desirable": good})
            for row in read_examples(pairs.file(f"{split}.jsonl"))
            for side, good in ((row.chosen, True), (row.rejected, False))
        ]

    unpaired = data_artifact(tmp_path / "data", sides("train"), sides("validation"), kind="unpaired")
    config = train_config(tiny, method="kto", num_train_epochs=2, eval_steps=4)
    one, other = run_stage(tmp_path / "pairs", config, pairs), run_stage(tmp_path / "unpaired", config, unpaired)
    assert other.digest == one.digest
    with pytest.raises(DataError, match="method dpo learns from preference rows, and these are unpaired rows"):
        run_stage(tmp_path / "dpo", train_config(tiny, method="dpo"), unpaired)
