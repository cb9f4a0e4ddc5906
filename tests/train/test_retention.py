"""Methods against forgetting: what each adds to a training, and that none of them breaks its recovery."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from pipeline.core.errors import Cancelled, ConfigError
from schemas.artifacts import Stored
from schemas.base_model import BaseModelRef
from schemas.data import DataArtifact
from schemas.distributed import Processes
from tests.support.training import Trained, conversation, data_artifact, reloaded_loss, run_stage, train_config

pytestmark = pytest.mark.slow

METHODS: dict[str, dict[str, Any]] = {
    "l2_sp": {"method": "l2_sp", "weight": 0.5},
    "ewc": {"method": "ewc", "weight": 0.5, "rows": 4},
    "orthogonal": {"method": "orthogonal", "weight": 0.5, "rows": 4},
    "interpolation": {"method": "interpolation", "alpha": 0.5},
    "ties": {"method": "merging", "rows": 8},
    "dare_linear": {"method": "merging", "combination": "dare_linear", "rows": 8},
    "linear": {"method": "merging", "combination": "linear", "rows": 8},
    "dare_ties": {"method": "merging", "combination": "dare_ties", "rows": 8},
    "lower_rate": {"method": "lower_rate", "factor": 0.5},
    "replay": {"method": "replay"},
}

LONG = ("linear", "dare_linear", "dare_ties")
"""Ways of merging that share all but a library's argument with ``ties``."""


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Stored[DataArtifact]]:
    """The base's own task: other words before the same ones."""
    rows = [conversation(number, prefix="old: ") for number in range(20)]
    return {"old": data_artifact(tmp_path_factory.mktemp("old"), rows)}


@pytest.fixture(scope="module")
def plain(tiny: BaseModelRef, rows: Stored[DataArtifact], tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return run_stage(tmp_path_factory.mktemp("plain"), train_config(tiny), rows)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.full if name in LONG else ()) for name in METHODS]
)
def test_a_method_trains_otherwise_and_resumes_to_the_same_bytes(
    tiny: BaseModelRef,
    rows: Stored[DataArtifact],
    old: dict[str, Stored[DataArtifact]],
    plain: Trained,
    tmp_path: Path,
    name: str,
) -> None:
    config = train_config(tiny, retention=METHODS[name])
    whole = run_stage(tmp_path / "whole", config, rows, replay=old)
    assert whole.digest != plain.digest
    assert (whole.artifact.penalty is not None) is (name in ("l2_sp", "ewc", "orthogonal"))
    assert (whole.artifact.interpolation is not None) is (name == "interpolation")
    with pytest.raises(Cancelled):
        run_stage(tmp_path / "parts", config, rows, replay=old, stop_at=3)
    assert run_stage(tmp_path / "parts", config, rows, replay=old).digest == whole.digest


def test_methods_of_whole_weights(
    tiny: BaseModelRef, rows: Stored[DataArtifact], old: dict[str, Stored[DataArtifact]], tmp_path: Path
) -> None:
    methods = [METHODS["l2_sp"], METHODS["ewc"], {"method": "interpolation", "alpha": 0.25}]
    config = train_config(tiny, adapter="full", retention=methods, max_steps=3)
    trained = run_stage(tmp_path, config, rows, replay=old).artifact
    assert trained.interpolation == 0.25
    assert trained.penalty is not None and trained.penalty > 0.0


def test_a_strong_penalty_keeps_the_weights_near_the_base(
    tiny: BaseModelRef, rows: Stored[DataArtifact], plain: Trained, tmp_path: Path
) -> None:
    held = run_stage(tmp_path, train_config(tiny, retention={"method": "l2_sp", "weight": 1e4}), rows)
    assert held.artifact.train_loss > plain.artifact.train_loss
    assert update_size(held) < 0.2 * update_size(plain)


def test_half_of_the_change_is_half_of_the_adapter(
    tiny: BaseModelRef, rows: Stored[DataArtifact], plain: Trained, tmp_path: Path
) -> None:
    half = run_stage(tmp_path, train_config(tiny, retention={"method": "interpolation", "alpha": 0.5}), rows)
    assert update_size(half) == pytest.approx(0.5 * update_size(plain), rel=1e-6)


def test_without_alpha_the_one_with_the_least_loss_is_taken(
    tiny: BaseModelRef, rows: Stored[DataArtifact], old: dict[str, Stored[DataArtifact]], tmp_path: Path
) -> None:
    """The tiny base is random and knows no task: all of the change lowers both losses."""
    config = train_config(tiny, retention={"method": "interpolation"})
    trained = run_stage(tmp_path, config, rows, replay=old)
    assert trained.artifact.interpolation == 1.0
    unsure = data_artifact(tmp_path / "unsure", [conversation(number) for number in range(8)])
    with pytest.raises(ConfigError, match="chosen on validation rows, and there are none"):
        run_stage(tmp_path / "none", config, unsure, replay=old)


@pytest.mark.parametrize("name", ["interpolation", "ties"])
def test_the_evaluation_loss_is_that_of_the_model_that_is_left(
    tiny: BaseModelRef, rows: Stored[DataArtifact], old: dict[str, Stored[DataArtifact]], tmp_path: Path, name: str
) -> None:
    trained = run_stage(tmp_path, train_config(tiny, retention=METHODS[name]), rows, replay=old)
    assert tiny.weights is not None
    left = reloaded_loss(tiny.weights.location, trained.workspace.output / "model", rows)
    assert trained.artifact.eval_loss == pytest.approx(left, rel=1e-5)


def test_a_training_killed_while_it_makes_the_second_adapter_goes_on_to_the_same_bytes(
    tiny: BaseModelRef, rows: Stored[DataArtifact], old: dict[str, Stored[DataArtifact]], tmp_path: Path
) -> None:
    config = train_config(tiny, retention=[METHODS["dare_ties"], METHODS["lower_rate"]], num_train_epochs=2)
    whole = run_stage(tmp_path / "whole", config, rows, replay=old)
    steps = [event.data["learning_rate"] for event in whole.events if event.kind == "metric" and "loss" in event.data]
    assert max(float(str(rate)) for rate in steps) <= 0.5e-2  # of both trainings
    told = [index for index, event in enumerate(whole.events) if "to merge with" in event.message]
    assert len(told) == 1
    with pytest.raises(Cancelled):
        run_stage(tmp_path / "parts", config, rows, replay=old, stop_after="to merge with")
    assert run_stage(tmp_path / "parts", config, rows, replay=old).digest == whole.digest


@pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings=True`")
def test_an_adapter_on_the_embeddings_is_refused(
    tiny: BaseModelRef, rows: Stored[DataArtifact], tmp_path: Path
) -> None:
    lora = {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "embed_tokens"]}
    with pytest.raises(ConfigError, match="changes the embeddings"):
        run_stage(tmp_path, train_config(tiny, lora=lora, retention=METHODS["l2_sp"]), rows)


def update_size(trained: Trained) -> float:
    """Return the Frobenius norm of all updates B A."""
    import torch
    from safetensors.torch import load_file

    tensors = load_file(trained.workspace.output / "model" / "adapter_model.safetensors")
    updates = [tensors[name.replace(".lora_A.", ".lora_B.")] @ tensors[name] for name in tensors if ".lora_A." in name]
    return float(torch.cat([update.flatten() for update in updates]).norm())


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"retention": [METHODS["l2_sp"], METHODS["l2_sp"]]}, "l2_sp is there 2 times"),
        ({"retention": [METHODS["ties"], METHODS["interpolation"]]}, "keep one of them"),
        ({"retention": METHODS["ties"], "adapter": "full"}, "merging is about an adapter"),
        ({"retention": METHODS["orthogonal"], "adapter": "full"}, "orthogonal is about an adapter"),
        ({"retention": METHODS["ewc"], "adapter": "qlora"}, "4-bit weights do not have"),
        ({"retention": METHODS["ewc"], "lora": {"r": 4, "lora_alpha": 8, "use_dora": True}}, "takes plain LoRA"),
        ({"retention": METHODS["ties"], "lora": {"r": 4, "lora_alpha": 8, "rank_pattern": {"q": 2}}}, "one rank"),
        ({"retention": METHODS["ewc"], "lora": {"r": 4, "lora_alpha": 8, "init_lora_weights": False}}, "plain LoRA"),
        ({"retention": {"method": "magic"}}, "magic"),
    ],
)
def test_what_does_not_fit_is_refused(tiny: BaseModelRef, changes: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        train_config(tiny, **changes)


def test_methods_that_read_rows_of_the_base_need_some(
    tiny: BaseModelRef, rows: Stored[DataArtifact], pairs: Stored[DataArtifact], tmp_path: Path
) -> None:
    config = train_config(tiny, retention=METHODS["ewc"])
    with pytest.raises(ConfigError, match=r"train.retention: there are no rows of the base's own tasks"):
        run_stage(tmp_path, config, rows)
    with pytest.raises(ConfigError, match="which method dpo cannot learn from"):
        run_stage(tmp_path, config.model_copy(update={"method": "dpo"}), pairs)


def test_several_processes_are_refused_before_anything_starts(
    tiny: BaseModelRef, rows: Stored[DataArtifact], tmp_path: Path
) -> None:
    config = train_config(tiny, retention=METHODS["l2_sp"])
    with pytest.raises(ConfigError, match="l2_sp trains in one process, and there are 2"):
        run_stage(tmp_path, config, rows, processes=Processes(per_node=2))
