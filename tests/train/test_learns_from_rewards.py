"""Each method that learns from rewards makes a model better at a task with an answer that can be checked.

The embedded base names the room, the device and the action of a spoken command. It is first taught to say one of the
three, whichever; what is rewarded is the device alone, which it says the least. Nothing shows it that: it has to find
out which of its own answers are rewarded, and the test is on commands that no training had.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest

from local_runner.demo.commands import Command
from local_runner.demo.files import draw_commands
from pipeline.backends.generate_transformers import load_generator
from pipeline.backends.tokenizer_transformers import load_tokenizer
from pipeline.core.context import CallContext
from pipeline.core.models import model_files
from pipeline.metrics import get_metric, item_scores
from pipeline.render import end_of_turn_ids, render_prompt
from pipeline.statistics import compare
from schemas.artifacts import Stored
from schemas.data import DataArtifact, Example, Message
from schemas.evaluate import GenerationConfig
from schemas.train import BaseModelRef
from tests.support.training import base, data_artifact, run_stage, train_config

EMBEDDED = Path(__file__).resolve().parents[2] / "pipeline" / "embedded" / "tiny_base"
ROOM, DEVICE, ACTION = 0, 1, 2
TAUGHT, REWARDED, ASKED = 1200, 1200, 300
"""Commands to teach the base with, to reward it for, and to test it on."""


def said(number: int, command: Command, word: int) -> Example:
    """Return the row that answers a command with one word of the three."""
    turns = (
        Message(role="system", content="Name the command: room, device, action."),
        Message(role="user", content=command.utterance),
        Message(role="assistant", content=command.answer.split()[word]),
    )
    return Example(id=f"row{number}", row=number + 1, messages=turns, cluster=number)


@pytest.fixture(scope="module")
def commands() -> tuple[list[Command], list[Command]]:
    return draw_commands()


@pytest.fixture(scope="module")
def undecided(tmp_path_factory: pytest.TempPathFactory, commands: tuple[list[Command], list[Command]]) -> BaseModelRef:
    """A base that says the room in 40%, the action in 35% and the device in 25% of its answers."""
    folder, chance = tmp_path_factory.mktemp("undecided"), Random(1)
    words = chance.choices([ROOM, ACTION, DEVICE], [40, 35, 25], k=TAUGHT)
    rows = [said(n, command, word) for n, (command, word) in enumerate(zip(commands[0], words, strict=False))]
    settings = {"adapter": "full", "learning_rate": 3e-3, "per_device_train_batch_size": 16, "max_length": 128}
    run_stage(folder / "work", train_config(base(EMBEDDED), **settings), data_artifact(folder / "data", rows))
    return base(folder / "work" / "output" / "model")


@pytest.fixture(scope="module")
def rewarded(
    tmp_path_factory: pytest.TempPathFactory, commands: tuple[list[Command], list[Command]]
) -> Stored[DataArtifact]:
    part = commands[0][TAUGHT : TAUGHT + REWARDED]
    return data_artifact(tmp_path_factory.mktemp("rewarded"), [said(n, one, DEVICE) for n, one in enumerate(part)])


def scores(model: BaseModelRef, asked: Sequence[Example]) -> list[float]:
    """Return whether each greedy answer is the expected one."""
    assert model.weights is not None
    tokenizer = load_tokenizer(model.weights.location)
    generator = load_generator(
        model_files(model), tokenizer, stop_ids=end_of_turn_ids(tokenizer), context_length=512, dtype="float32"
    )
    prompts = [render_prompt(row.prompt, tokenizer) for row in asked]
    answers = generator.generate(prompts, GenerationConfig(max_new_tokens=6, batch_size=100), CallContext())
    return item_scores(get_metric("exact_match"), [one.text for one in answers], [row.answer for row in asked])


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
    before, after = scores(undecided, asked), scores(base(trained.workspace.output / "model"), asked)
    found = compare(after, before)
    assert found.better
    assert found.low > 0.1
    report = trained.artifact.rewards
    assert report is not None
    assert report.last.reward > report.first.reward
    assert not report.warnings
