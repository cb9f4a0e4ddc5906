"""The text that the tiny base model is made from: commands, small reading tasks and support messages without records."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Final

from local_runner.demo import commands, reading, triage
from local_runner.demo.files import JsonRow, write_jsonl

MESSAGE_ROWS: Final = 5000
EXERCISE_ROWS: Final = 9000


def base_rows(*, seed: int = 0) -> list[JsonRow]:
    """Chat rows of the base model's training text, shuffled.

    Its commands are exactly those of the retention task's training file. Support messages appear as something to be written, so that
    their words are known; no row holds a triage record or answers a question about a support message.
    """
    random = Random(f"base {seed}")
    rows = [command_row(command) for command in training_commands(seed=seed)]
    rows += [_message_row(random) for _ in range(MESSAGE_ROWS)]
    rows += [_exercise_row(random) for _ in range(EXERCISE_ROWS)]
    random.shuffle(rows)
    return rows
