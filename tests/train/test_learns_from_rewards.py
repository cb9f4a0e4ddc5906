"""Each method that learns from rewards makes a model better at a task with an answer that can be checked.

The embedded base names the room, the device and the action of a spoken command. It is first taught to say one of the
three, whichever; what is rewarded is the device alone, which it says the least. Nothing shows it that: it has to find
out which of its own answers are rewarded, and the test is on commands that no training had.
"""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pytest

from local_runner.demo.commands import Command
from local_runner.demo.files import draw_commands
from schemas.artifacts import Stored
from schemas.base_model import BaseModelRef
from schemas.data import DataArtifact, Example
from tests.support.learning import answered, check_learned, model_of, row, taught
from tests.support.training import data_artifact, run_stage, train_config

ROOM, DEVICE, ACTION = 0, 1, 2
TAUGHT, REWARDED, ASKED = 1200, 1200, 300
"""Commands to teach the base with, to reward it for, and to test it on."""


def said(number: int, command: Command, word: int) -> Example:
    """Return the row that answers a command with one word of the three."""
    return row(number, "Name the command: room, device, action.", command.utterance, command.answer.split()[word])


@pytest.fixture(scope="module")
def commands() -> tuple[list[Command], list[Command]]:
    return draw_commands()


@pytest.fixture(scope="module")
def undecided(tmp_path_factory: pytest.TempPathFactory, commands: tuple[list[Command], list[Command]]) -> BaseModelRef:
    """A base that says the room in 40%, the action in 35% and the device in 25% of its answers."""
    words = Random(1).choices([ROOM, ACTION, DEVICE], [40, 35, 25], k=TAUGHT)
    rows = [said(n, command, word) for n, (command, word) in enumerate(zip(commands[0], words, strict=False))]
    return taught(tmp_path_factory.mktemp("undecided"), rows)


@pytest.fixture(scope="module")
def rewarded(
    tmp_path_factory: pytest.TempPathFactory, commands: tuple[list[Command], list[Command]]
) -> Stored[DataArtifact]:
    part = commands[0][TAUGHT : TAUGHT + REWARDED]
    return data_artifact(tmp_path_factory.mktemp("rewarded"), [said(n, one, DEVICE) for n, one in enumerate(part)])


METHODS: dict[str, dict[str, Any]] = {
    "grpo": {"max_completion_length": 6},
    "rloo": {"max_completion_length": 6, "num_generations": 8, "beta": 0.02},
    "ppo": {"max_completion_length": 6},
}
STEPS = {"grpo": 40, "rloo": 40, "ppo": 80}
"""Optimizer steps; PPO takes four of them for each set of answers."""


@pytest.mark.parametrize(
    "method", [pytest.param(name, marks=pytest.mark.slow if name == "grpo" else pytest.mark.full) for name in METHODS]
)
def test_a_method_makes_the_model_better(
    undecided: BaseModelRef,
    rewarded: Stored[DataArtifact],
    commands: tuple[list[Command], list[Command]],
    tmp_path: Path,
    method: str,
) -> None:
    settings: dict[str, Any] = {
        "adapter": "full",
        "learning_rate": 3e-4,
        "max_steps": STEPS[method],
        "num_train_epochs": 9,
        "per_device_train_batch_size": 64,
        "max_length": 128,
        "rewards": ["exact_match"],
        method: METHODS[method],
    }
    trained = run_stage(tmp_path, train_config(undecided, method=method, **settings), rewarded)
    asked = [said(n, command, DEVICE) for n, command in enumerate(commands[1][:ASKED])]
    check_learned(answered(model_of(trained), asked), answered(undecided, asked), least=0.1)
    report = trained.artifact.rewards
    assert report is not None
    assert report.last.reward > report.first.reward
    assert not report.warnings


@pytest.fixture(scope="module")
def pairs(
    tmp_path_factory: pytest.TempPathFactory, commands: tuple[list[Command], list[Command]]
) -> Stored[DataArtifact]:
    """Pairs in which the device is chosen; the room, the action or the device of another command is rejected."""
    part, chance, made = commands[0][:TAUGHT], Random(2), []
    for number, command in enumerate(part):
        word = chance.choice((ROOM, DEVICE, ACTION))
        other = command if word != DEVICE else chance.choice([one for one in part if device(one) != device(command)])
        better, worse = said(number, command, DEVICE), said(number, other, word)
        sides = {"chosen": better.messages[-1:], "rejected": worse.messages[-1:]}
        made.append(better.model_copy(update={"messages": better.prompt, **sides}))
    return data_artifact(tmp_path_factory.mktemp("pairs"), made, kind="preference")


def device(command: Command) -> str:
    return command.answer.split()[DEVICE]


@pytest.mark.full
def test_a_reward_model_teaches_what_it_has_learned(
    undecided: BaseModelRef,
    pairs: Stored[DataArtifact],
    rewarded: Stored[DataArtifact],
    commands: tuple[list[Command], list[Command]],
    tmp_path: Path,
) -> None:
    """A reward model learns from pairs that the device is preferred, and the base learns it from its scores alone.

    It is held to where it began: without, it finds words that no pair had, and that the reward model scores highly.
    """
    settings = {"adapter": "full", "num_train_epochs": 9, "max_length": 128}
    rate = {"learning_rate": 1e-3, "max_steps": 70, "per_device_train_batch_size": 16}
    judge = run_stage(tmp_path / "judge", train_config(undecided, method="reward", **rate, **settings), pairs)
    weights = model_of(judge).weights
    assert weights is not None
    reward = {"name": "reward_model", "params": {"model": weights.digest}, "model": weights}
    options = {"learning_rate": 3e-4, "max_steps": STEPS["grpo"], "per_device_train_batch_size": 64}
    held = {"grpo": {**METHODS["grpo"], "beta": 0.1}, "rewards": [reward]}
    trained = run_stage(
        tmp_path / "taught", train_config(undecided, method="grpo", **held, **options, **settings), rewarded
    )
    asked = [said(n, command, DEVICE) for n, command in enumerate(commands[1][:ASKED])]
    check_learned(answered(model_of(trained), asked), answered(undecided, asked), least=0.1)
