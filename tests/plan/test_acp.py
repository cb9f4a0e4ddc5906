from __future__ import annotations

import json
from typing import Any

import pytest

from pipeline.core.errors import ConfigError, ModelError
from pipeline.plan.acp import answer, parse
from pipeline.plan.task_words import task_of
from schemas.acp import TrainingPlanMessage, TrainingStatusMessage

MESSAGE: dict[str, Any] = {
    "cmd": "FINETUNE_MODEL",
    "base_model": "llama-3-70b",
    "method": "qlora",
    "dataset": {"size": 50000, "task": "medical_qa"},
    "metrics": {"baseline": {"accuracy": 0.62, "f1": 0.58}, "target": {"accuracy": 0.85, "f1": 0.82}},
    "constraints": {"max_gpu_hours": 100, "max_cost": 500},
    "respond_format": "TRAINING_PLAN",
}


def test_the_message_is_answered_with_a_plan_that_keeps_its_constraints() -> None:
    plan = answer(parse(json.dumps(MESSAGE)))
    assert plan.cmd == "TRAINING_PLAN"
    assert plan.base_model == "meta-llama/Meta-Llama-3-70B"
    assert plan.parameters == 70_553_706_496
    assert plan.method.value == "qlora"
    assert plan.feasible
    assert plan.hardware is not None
    assert plan.hardware.gpu_hours <= 100
    assert plan.hardware.dollars <= 500
    assert plan.hardware.gpu not in [option.gpu for option in plan.alternatives]
    gain = plan.expected_gain
    assert (gain.metric, gain.baseline, gain.target) == ("accuracy", 0.62, 0.85)
    assert gain.gain_wanted == pytest.approx(0.23, abs=1e-9)
    assert gain.test_rows == 10_000
    assert gain.minimum_detectable_gain is not None
    assert 0.01 < gain.minimum_detectable_gain < 0.03
    assert all(reason.reason for reason in plan.decisions.values())
    assert plan == TrainingPlanMessage.model_validate_json(plan.model_dump_json())
    assert plan == answer(parse(MESSAGE))


def test_the_summary_speaks_to_people() -> None:
    summary = answer(parse(MESSAGE)).summary
    assert "US dollars" in summary
    assert "measured, not promised" in summary


@pytest.mark.slow
def test_without_a_method_the_smallest_sufficient_one_is_taken() -> None:
    small = {**MESSAGE, "base_model": "Qwen/Qwen3-0.6B"}
    del small["method"]
    assert answer(parse(small)).method.value == "lora"
    # 70B in bfloat16 with rows of up to 12,000 tokens needs two of the largest GPUs, in 4 bits one.
    long_rows: dict[str, Any] = {
        **MESSAGE,
        "base_model": "llama-3.3-70b",
        "dataset": {"size": 3000, "task": "medical_qa", "mean_tokens": 4000},
        "constraints": {},
    }
    lora = answer(parse({**long_rows, "method": "lora"})).hardware
    assert lora is not None
    assert lora.count > 1
    del long_rows["method"]
    plan = answer(parse(long_rows))
    assert plan.hardware is not None
    assert plan.hardware.count == 1
    assert (plan.method.value, plan.feasible) == ("qlora", True)
    assert plan.method.reason


def test_what_cannot_be_kept_is_said() -> None:
    plan = answer(parse({**MESSAGE, "constraints": {"max_cost": 1}}))
    assert not plan.feasible
    assert "constraints.max_cost allows 1 US dollars" in plan.warnings[0]
    assert "does not keep what was asked" in plan.summary


def test_alternatives_outside_the_constraints_are_marked() -> None:
    plan = answer(parse({**MESSAGE, "constraints": {"max_hours": 70}}))
    assert plan.hardware is not None and plan.hardware.within_constraints
    assert {option.within_constraints for option in plan.alternatives} == {True, False}
    assert all(option.within_constraints == (option.hours <= 70) for option in plan.alternatives)


def test_a_second_target_is_said_to_be_left_out() -> None:
    assert any("f1 0.82 is not planned for" in warning for warning in answer(parse(MESSAGE)).warnings)


@pytest.mark.parametrize("target", [0.62, 0.5])
def test_a_target_that_is_reached_already_is_not_feasible(target: float) -> None:
    plan = answer(parse({**MESSAGE, "metrics": {"baseline": {"accuracy": 0.62}, "target": {"accuracy": target}}}))
    assert not plan.feasible
    assert plan.warnings[0].startswith(f"the target accuracy {target:g} is not above the baseline 0.62")
    assert "nothing to gain" in plan.summary


@pytest.mark.slow
def test_a_data_set_of_any_size_is_planned_at_once() -> None:
    plan = answer(parse(MESSAGE, overrides=["dataset.size=1000000000000", "method=lora"]))
    assert plan.method.value == "lora"
    assert plan.expected_gain.test_rows == 200_000_000_000
    assert not plan.feasible


def test_a_base_that_is_like_none_names_those_that_are_known() -> None:
    with pytest.raises(ModelError, match=r"known here: Qwen/Qwen3-0\.6B, "):
        answer(parse({**MESSAGE, "base_model": "./my-folder"}))


def test_a_size_and_a_task_are_enough() -> None:
    message = {"cmd": "FINETUNE_MODEL", "base_model": "qwen3-4b", "dataset": {"size": 800, "task": "intent labels"}}
    plan = answer(parse(message))
    assert plan.expected_gain.baseline_assumed
    assert plan.expected_gain.metric is None
    assert "'intent labels' is taken for classification" in plan.assumptions
    assert plan.decisions["max_length"].reason.startswith("the longest row is assumed")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"metod": "lora"}, "metod: unknown key; did you mean method?"),
        ({"dataset": {"size": 0, "task": "x"}}, "dataset.size: input should be greater than 0"),
        ({"dataset": {"sise": 5, "size": 5, "task": "x"}}, "dataset.sise: unknown key; did you mean size?"),
        ({"cmd": "FINETUNE"}, "cmd:"),
        ({"metrics": {"target": {"accuracy": 85}}}, "metrics.target.accuracy: input should be less than or equal to 1"),
        ({"constraints": {"max_costs": 5}}, "constraints.max_costs: unknown key; did you mean max_cost?"),
    ],
)
def test_a_wrong_message_names_the_key(change: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse({**MESSAGE, **change}, "message.json")
    assert says in str(caught.value)
    assert str(caught.value).startswith("message.json")


def test_what_is_no_json_names_the_line() -> None:
    with pytest.raises(ConfigError, match=r"message\.json:2: not JSON"):
        parse('{"cmd":\n oops}', "message.json")
    with pytest.raises(ConfigError, match="a message is a JSON object"):
        parse("[1]")


def test_an_unknown_base_is_answered_with_the_nearest() -> None:
    with pytest.raises(ModelError, match="did you mean"):
        answer(parse({**MESSAGE, "base_model": "llama-3-71b"}))


PLAIN = [
    (words, "generation") for words in ("text_generation", "code_generation", "general_qa", "partner emails", "dinner")
]
"""Words that only hold `ner`."""


@pytest.mark.parametrize(
    ("words", "task"),
    [("medical_qa", "generation"), ("support triage", "classification"), ("JSON extraction", "extraction"), *PLAIN],
)
def test_tasks_are_known_by_their_words(words: str, task: str) -> None:
    assert task_of(words) == task


def test_the_status_message_is_the_specified_one() -> None:
    text = (
        '{"training_status": {"epoch": 3, "steps": 15000, "metrics": {"loss": 0.23, "accuracy": 0.81}, '
        '"gpu_hours": 45, "est_completion": "2h", "checkpoints": ["epoch_1", "epoch_2", "best_val"]}, '
        '"hash": "ft_med_v2"}'
    )
    status = TrainingStatusMessage.model_validate_json(text)
    assert status.training_status.checkpoints == ("epoch_1", "epoch_2", "best_val")
