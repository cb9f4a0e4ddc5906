"""Methods that learn from rewards: their answers, scores and guards, and that they go on where they were stopped."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from pipeline.backends.training.job import MetricReward
from pipeline.core.errors import Cancelled, DataError
from pipeline.metrics import get_metric
from schemas.artifacts import Stored
from schemas.base_model import BaseModelRef
from schemas.data import DataArtifact, Message
from schemas.methods import METHODS
from schemas.train import TrainConfig
from tests.support.training import conversation, data_artifact, run_stage, train_config
from tests.train.test_resume import start, wait_for_checkpoint

REWARDED = tuple(name for name, method in METHODS.items() if method.rewarded)


def config_of(base: BaseModelRef, method: str, options: dict[str, Any] | None = None, **changes: Any) -> TrainConfig:
    """Return a config of a method: 8 answers of up to 6 tokens in a step, rewarded for characters that are right."""
    settings: dict[str, Any] = {
        "rewards": ["chrf", {"name": "exact_match", "weight": 0.5}],
        "per_device_train_batch_size": 4,
        "gradient_accumulation_steps": 2,
        "learning_rate": 3e-2,
        "guards": {"length_ratio": None},
        **changes,
    }
    groups = {} if method == "ppo" else {"num_generations": 4}
    settings[method] = {"max_completion_length": 6, **groups, **(options or {})}
    return train_config(base, method=method, **settings)


ONCE: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "grpo": ("grpo", {}, {"eval_steps": 4}),
    "grpo, all weights": ("grpo", {"beta": 0.1, "loss_type": "dr_grpo"}, {"adapter": "full"}),
    "rloo": ("rloo", {}, {}),
    "ppo": ("ppo", {"num_ppo_epochs": 1}, {}),
}
SEVERAL: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "grpo": ("grpo", {"num_iterations": 3, "beta": 0.1}, {}),
    "rloo": ("rloo", {"num_iterations": 3}, {"adapter": "full"}),
    "ppo": ("ppo", {"num_ppo_epochs": 3, "whiten_rewards": True, "missing_eos_penalty": 0.5}, {"eval_steps": 4}),
    "ppo, all weights": ("ppo", {"num_ppo_epochs": 1, "num_mini_batches": 3}, {"adapter": "full"}),
}


def goes_on(config: TrainConfig, rows: Stored[DataArtifact], work: Path, stop_at: int) -> None:
    whole = run_stage(work / "whole", config, rows)
    with pytest.raises(Cancelled):
        run_stage(work / "parts", config, rows, stop_at=stop_at)
    parts = run_stage(work / "parts", config, rows)
    assert [event.message for event in parts.events if event.kind == "log"] == [f"going on from step {stop_at}"]
    assert parts.log == whole.log
    assert parts.digest == whole.digest
    assert parts.artifact == whole.artifact


@pytest.mark.slow
@pytest.mark.parametrize("name", ONCE)
def test_resumed_is_uninterrupted(tiny: BaseModelRef, rows: Stored[DataArtifact], tmp_path: Path, name: str) -> None:
    """24 rows and a few prompts in a step: the stop is in the second epoch."""
    method, options, changes = ONCE[name]
    goes_on(config_of(tiny, method, options, max_steps=17, **changes), rows, tmp_path, stop_at=14)


@pytest.mark.slow
@pytest.mark.parametrize("name", SEVERAL)
def test_answers_that_are_used_again_survive_a_stop(
    tiny: BaseModelRef, rows: Stored[DataArtifact], tmp_path: Path, name: str
) -> None:
    """Three steps take the same answers: the stop is after the second step of the second set."""
    method, options, changes = SEVERAL[name]
    goes_on(config_of(tiny, method, options, max_steps=8, **changes), rows, tmp_path, stop_at=5)


@pytest.mark.parametrize(
    "method", [pytest.param(name, marks=pytest.mark.slow if name == "grpo" else pytest.mark.full) for name in REWARDED]
)
def test_sigkill_changes_nothing(tiny: BaseModelRef, rows: Stored[DataArtifact], tmp_path: Path, method: str) -> None:
    config = config_of(tiny, method, max_steps=60, save_steps=1)
    whole = run_stage(tmp_path / "whole", config, rows)
    process = start(tmp_path / "killed", config, rows)
    wait_for_checkpoint(process, tmp_path / "killed")
    time.sleep(random.Random(method).random())
    process.kill()
    process.communicate()
    parts = run_stage(tmp_path / "killed", config, rows)
    assert parts.digest == whole.digest
    assert parts.artifact == whole.artifact


@pytest.mark.slow
def test_the_record_says_how_answers_were(tiny: BaseModelRef, rows: Stored[DataArtifact], tmp_path: Path) -> None:
    trained = run_stage(tmp_path, config_of(tiny, "grpo", max_steps=4, eval_steps=2), rows)
    report = trained.artifact.rewards
    assert report is not None
    # four logged steps: a tenth is at least one of them
    first, last = trained.log[0], next(line for line in reversed(trained.log) if "reward" in line)
    assert (report.first.reward, report.last.reward) == (first["reward"], last["reward"])
    by_metric = report.first.rewards
    assert report.first.reward == pytest.approx(by_metric["chrf"] + 0.5 * by_metric["exact_match"], abs=1e-12)
    assert report.first.kl == 0.0  # the model is the base
    assert report.last.kl is not None and report.last.kl > 0.0
    assert report.validation == -trained.artifact.eval_loss  # type: ignore[operator]
    evaluated = [event.data["eval_reward"] for event in trained.events if "eval_reward" in event.data]
    assert evaluated == [-line["eval_loss"] for line in trained.log if "eval_loss" in line]


@pytest.mark.slow
def test_a_guard_says_once_that_answers_are_cut(tiny: BaseModelRef, rows: Stored[DataArtifact], tmp_path: Path) -> None:
    """A random model does not end its answers within 6 tokens."""
    trained = run_stage(tmp_path, config_of(tiny, "grpo", max_steps=4), rows)
    assert trained.artifact.rewards is not None
    (warning,) = trained.artifact.rewards.warnings
    assert (warning.step, warning.guard, warning.limit) == (1, "clipped", 0.5)
    told = [event.message for event in trained.events if event.kind == "warning"]
    assert len(told) == 1
    assert "cut at max_completion_length" in told[0]


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        *({"loss_type": loss} for loss in ("grpo", "bnpo", "dapo", "dr_grpo", "sapo", "vespo")),
        {"loss_type": "cispo", "epsilon_high": 5.0},
        {"loss_type": "luspo", "importance_sampling_level": "sequence"},
        {"loss_type": "grpo", "importance_sampling_level": "sequence", "num_iterations": 2},
        {"multi_objective_aggregation": "normalize_then_sum"},
        {"scale_rewards": "none", "mask_truncated_completions": True},
        {"top_entropy_quantile": 0.5, "entropy_coef": 0.01},
        {"off_policy_mask_threshold": 0.5, "delta": 2.0, "num_iterations": 2},
    ],
    ids=str,
)
def test_every_variant_trains(
    tiny: BaseModelRef, rows: Stored[DataArtifact], tmp_path: Path, options: dict[str, Any]
) -> None:
    trained = run_stage(tmp_path, config_of(tiny, "grpo", options, max_steps=3), rows)
    assert trained.artifact.steps == 3
    assert trained.artifact.rewards is not None


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"rewards": []}, "name metrics in rewards"),
        ({"rewards": [{"name": "exact_match", "weight": 0}]}, "rewards nothing"),
        ({"rewards": ["exact_match", "exact_match"]}, "each metric once"),
        ({"completion_only_loss": False}, "answers the last turn"),
        ({"distributed": {"strategy": "ddp"}}, "leave distributed out"),
        ({"per_device_train_batch_size": 3}, "no whole groups of 4"),
        ({"packing": True}, "packing joins rows of sft"),
        ({"method": "sft"}, "sft learns from no rewards: set method to grpo or rloo or ppo"),
        ({"grpo": {"loss_type": "cispo"}}, "clips weights at epsilon_high"),
        ({"grpo": {"loss_type": "luspo"}}, "set importance_sampling_level to sequence"),
        ({"grpo": {"importance_sampling_level": "sequence"}}, "dapo adds up tokens"),
    ],
)
def test_what_does_not_fit_is_refused(tiny: BaseModelRef, changes: dict[str, Any], says: str) -> None:
    settings = config_of(tiny, "grpo").model_dump()
    settings = {key: value for key, value in settings.items() if value is not None}
    with pytest.raises(ValidationError, match=says):
        TrainConfig.model_validate({**settings, **changes})


def test_rows_that_a_metric_cannot_compare_are_refused_first(tiny: BaseModelRef, tmp_path: Path) -> None:
    data = data_artifact(tmp_path / "data", [conversation(number) for number in range(4)])
    with pytest.raises(DataError, match="cannot be scored as JSON") as caught:
        run_stage(tmp_path / "work", config_of(tiny, "grpo", rewards=["field_f1"]), data)
    assert caught.value.where == "train.rewards: field_f1, source row 1"


def test_rows_without_an_answer_are_refused_first(tiny: BaseModelRef, tmp_path: Path) -> None:
    silent = conversation(1)
    silent = silent.model_copy(update={"messages": (silent.messages[0], Message(role="assistant", content=" "))})
    data = data_artifact(tmp_path / "data", [conversation(0), silent])
    with pytest.raises(DataError, match=r"no answer in words to compare with \(row 2\)"):
        run_stage(tmp_path / "work", config_of(tiny, "grpo"), data)


@pytest.mark.slow
@pytest.mark.parametrize("adapter", ["lora", "full"])
def test_ppo_leaves_a_language_model_and_nothing_else(
    tiny: BaseModelRef, rows: Stored[DataArtifact], tmp_path: Path, adapter: str
) -> None:
    from safetensors.torch import load_file

    trained = run_stage(tmp_path / "ppo", config_of(tiny, "ppo", max_steps=4, adapter=adapter), rows)
    plain = run_stage(tmp_path / "sft", train_config(tiny, max_steps=1, adapter=adapter), rows)
    (weights,) = (trained.workspace.output / "model").glob("*.safetensors")
    (usual,) = (plain.workspace.output / "model").glob("*.safetensors")
    assert load_file(weights).keys() == load_file(usual).keys()
    assert trained.artifact.trainable_parameters == plain.artifact.trainable_parameters


@pytest.mark.slow
def test_ppo_of_a_step_does_not_depend_on_its_parts(
    tiny: BaseModelRef, rows: Stored[DataArtifact], tmp_path: Path
) -> None:
    """The loss of a step is a mean over its tokens, in however many micro-batches they come."""
    parts = {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 4}
    whole = {"per_device_train_batch_size": 8, "gradient_accumulation_steps": 1}
    first, second = (
        run_stage(tmp_path / name, config_of(tiny, "ppo", max_steps=3, **sizes), rows).log
        for name, sizes in (("parts", parts), ("whole", whole))
    )
    assert [line.get("loss") for line in first] == pytest.approx([line.get("loss") for line in second], abs=1e-5)


@pytest.mark.slow
def test_the_distance_that_is_wanted_changes_what_it_costs(
    tiny: BaseModelRef, rows: Stored[DataArtifact], tmp_path: Path
) -> None:
    """A model that is the base is nearer than wanted: each set of 8 answers takes 0.2 x 8 / 100 off the coefficient."""
    ppo = {"kl_coef": 0.5, "horizon": 100, "num_ppo_epochs": 1}
    log = run_stage(tmp_path, config_of(tiny, "ppo", ppo, max_steps=3, learning_rate=1e-9), rows).log
    costs = [line["kl_coef"] for line in log if "kl_coef" in line]
    assert costs == pytest.approx([0.5, 0.5 * 0.984, 0.5 * 0.984**2], rel=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "changes"),
    [
        ("grpo", {"bf16": True, "gradient_checkpointing": True}),
        ("grpo", {"adapter": "qlora"}),
        ("ppo", {"adapter": "qlora", "gradient_checkpointing": True}),
        ("ppo", {"bf16": True, "adapter": "full", "retention": {"method": "l2_sp"}}),
        ("ppo", {"adapter": "full", "retention": {"method": "interpolation", "alpha": 0.5}}),
        ("rloo", {"lora": {"r": 4, "lora_alpha": 8, "init_lora_weights": "pissa"}}),
        ("ppo", {"lora": {"r": 4, "lora_alpha": 8, "init_lora_weights": "pissa"}}),
    ],
    ids=str,
)
def test_what_trainers_share_goes_with_rewards(
    tiny: BaseModelRef, rows: Stored[DataArtifact], tmp_path: Path, method: str, changes: dict[str, Any]
) -> None:
    trained = run_stage(tmp_path, config_of(tiny, method, max_steps=4, **changes), rows)
    report = trained.artifact.rewards
    assert report is not None and report.validation is not None
    if method != "grpo":
        # the model is the base at first: to rounding, where PiSSA has parted its weights or bfloat16 computes
        assert report.first.kl == pytest.approx(0.0, abs=1e-2)


@pytest.mark.parametrize(
    "method", [pytest.param(name, marks=pytest.mark.slow if name == "grpo" else pytest.mark.full) for name in REWARDED]
)
def test_a_lack_of_memory_keeps_the_answers_of_a_step(
    tiny: BaseModelRef, rows: Stored[DataArtifact], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """The fault is injected: from the third step on, four answers at a time do not fit, and two do."""
    import torch

    from pipeline.backends.training.guarded import GuardedTrainer

    step = GuardedTrainer.training_step

    def hungry(trainer: Any, *arguments: Any, **more: Any) -> Any:
        if trainer.state.global_step >= 2 and trainer.args.per_device_train_batch_size > 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return step(trainer, *arguments, **more)

    monkeypatch.setattr(GuardedTrainer, "training_step", hungry)
    twice = {"num_ppo_epochs": 3} if method == "ppo" else {"num_iterations": 3}  # the fault is between two uses
    trained = run_stage(tmp_path, config_of(tiny, method, twice, max_steps=7, save_steps=1), rows)
    artifact = trained.artifact
    assert (artifact.micro_batch, artifact.accumulation, artifact.steps) == (2, 4, 7)
    assert [recovery.kind for recovery in artifact.recoveries] == ["out_of_memory"]
    drawn = [line["step"] for line in trained.log if "reward" in line]
    assert drawn == [1, 4, 7]


@pytest.mark.slow
def test_programs_are_run_for_their_reward(tiny: BaseModelRef, tmp_path: Path) -> None:
    """The tests of a row are its answer; what a random model writes does not pass them, and nothing of it escapes."""
    tested = Message(role="assistant", content="assert double(2) == 4")
    rows = [conversation(number) for number in range(4)]
    rows = [row.model_copy(update={"messages": (row.messages[0], tested)}) for row in rows]
    data = data_artifact(tmp_path / "data", rows)
    trained = run_stage(tmp_path / "work", config_of(tiny, "grpo", rewards=["code_execution"], max_steps=1), data)
    assert trained.artifact.rewards is not None
    assert trained.artifact.rewards.first.rewards == {"code_execution": 0.0}
    reward = MetricReward("code_execution", 1.0, get_metric("code_execution"))
    assert reward.of("<think>\ntwice\n</think>\ndef double(x):\n    return 2 * x", tested.content) == 1.0
