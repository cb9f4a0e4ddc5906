"""The embedded default's data files: written whole or not at all, and byte for byte the same for the same seed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Final

from local_runner.demo import commands
from local_runner.demo.flaws import PAIR_KINDS, Pair, PersonalLine, Planted, plant
from local_runner.demo.triage import Ticket
from pipeline.core.workspace import write_atomic

COMMAND_TRAIN_ROWS: Final = 5000
COMMAND_TEST_ROWS: Final = 600


@dataclass(frozen=True, slots=True)
class DemoFiles:
    """Where the files are.

    Triage lines are `{"message", "triage"}`, command lines `{"utterance", "command"}`; `planted` lists the flaws of
    the triage files.
    """

    triage: Path
    triage_test: Path
    commands: Path
    commands_test: Path
    planted: Path


def write_demo_data(directory: Path, *, rows: int = 6000, test_rows: int = 800, seed: int = 0) -> DemoFiles:
    """Writes the triage task and the retention task into `directory`, which is made if it is missing.

    Args:
        directory: where the files go; files of the same names are replaced.
        rows: lines of `triage.jsonl`, flawed ones included.
        test_rows: lines of `triage_test.jsonl`, leaked ones included.
        seed: of everything drawn.

    Raises:
        ValueError: `rows` or `test_rows` leaves no room for the flaws.
    """
    files = DemoFiles(
        triage=directory / "triage.jsonl",
        triage_test=directory / "triage_test.jsonl",
        commands=directory / "commands.jsonl",
        commands_test=directory / "commands_test.jsonl",
        planted=directory / "planted.json",
    )
    flawed = plant(rows=rows, test_rows=test_rows, random=_chance("triage", seed))
    train, test = draw_commands(seed=seed)
    write_atomic(files.triage, "".join(_triage_line(ticket) for ticket in flawed.train))
    write_atomic(files.triage_test, "".join(_triage_line(ticket) for ticket in flawed.test))
    write_jsonl(files.commands, map(_command_row, train))
    write_jsonl(files.commands_test, map(_command_row, test))
    write_atomic(files.planted, json.dumps(asdict(flawed.planted), indent=1) + "\n")
    return files


def draw_commands(*, seed: int = 0) -> tuple[list[commands.Command], list[commands.Command]]:
    """The retention task's training and test rows; no utterance is in both, nor nearly."""
    drawn = commands.draw_commands(COMMAND_TRAIN_ROWS + COMMAND_TEST_ROWS, _chance("commands", seed))
    return drawn[:COMMAND_TRAIN_ROWS], drawn[COMMAND_TRAIN_ROWS:]


def read_planted(path: Path) -> Planted:
    """The planted flaws as `write_demo_data` wrote them."""
    stored = json.loads(path.read_text(encoding="utf-8"))
    pairs = {kind: tuple(Pair(**pair) for pair in stored[kind]) for kind in PAIR_KINDS}
    personal_data = tuple(PersonalLine(**item) for item in stored["personal_data"])
    return Planted(**pairs, personal_data=personal_data, malformed=stored["malformed"])


def write_jsonl(path: Path, rows: Iterable[Mapping[str, object]]) -> None:
    """Writes one JSON object per line."""
    write_atomic(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def _chance(purpose: str, seed: int) -> Random:
    """A generator of its own for each purpose, so that a change to one file leaves the others as they are."""
    return Random(f"{purpose} {seed}")  # noqa: S311 - chance that must be repeatable


def _triage_line(ticket: Ticket | None) -> str:
    """The line of a ticket; without one, a line that breaks off in the middle."""
    if ticket is None:
        return '{"message": "The camera keeps reboo\n'
    return json.dumps({"message": ticket.message, "triage": ticket.record.to_json()}, ensure_ascii=False) + "\n"


def _command_row(command: commands.Command) -> dict[str, str]:
    return {"utterance": command.utterance, "command": command.answer}
