"""The text that the tiny base model is made from: commands, small exercises, and messages without their records."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

from local_runner.demo import commands, reading, triage
from local_runner.demo.files import draw_commands, write_jsonl

EXERCISE_ROWS: Final = 8000
MESSAGE_ROWS: Final = 800
WRITE_PROMPT: Final = "Write a support message."

ChatRow = dict[str, list[dict[str, str]]]


def base_rows(*, seed: int = 0) -> list[ChatRow]:
    """Chat rows (`{"messages": [...]}`) of the base model's training text, shuffled.

    The commands are exactly the retention task's training file of the same seed. Support messages appear as
    something to be written, so that their words are known; no row holds a triage record or a question about a
    support message.
    """
    random = Random(f"base {seed}")  # noqa: S311 - chance that must be repeatable
    train, _ = draw_commands(seed=seed)
    rows = [_command_row(command) for command in train]
    for _ in range(EXERCISE_ROWS):
        exercise = reading.draw_exercise(random)
        rows.append(_row(exercise.instruction, exercise.text, exercise.answer))
    rows += [_row(None, WRITE_PROMPT, triage.draw_ticket(random).message) for _ in range(MESSAGE_ROWS)]
    random.shuffle(rows)
    return rows


@dataclass(frozen=True, slots=True)
class CorpusFiles:
    """Chat rows to make the base model from, and the retention task's test rows as chat rows."""

    train: Path
    test: Path


def write_base_corpus(directory: Path, *, seed: int = 0) -> CorpusFiles:
    """Write `base.jsonl` and `base_test.jsonl` into `directory`, one chat row (`{"messages": [...]}`) per line."""
    corpus = CorpusFiles(train=directory / "base.jsonl", test=directory / "base_test.jsonl")
    write_jsonl(corpus.train, base_rows(seed=seed))
    _, test = draw_commands(seed=seed)
    write_jsonl(corpus.test, map(_command_row, test))
    return corpus


def _command_row(command: commands.Command) -> ChatRow:
    return _row(commands.SYSTEM_PROMPT, command.utterance, command.answer)


def _row(system: str | None, user: str, assistant: str) -> ChatRow:
    opening = [{"role": "system", "content": system}] if system else []
    return {"messages": [*opening, {"role": "user", "content": user}, {"role": "assistant", "content": assistant}]}
