"""`hone init`: a first run description for a file of examples."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

import yaml

from local_runner.guess import Guess, Reading, Wishes, guess_reading, guess_task
from pipeline.core.context import CallContext
from pipeline.core.errors import ConfigError, DataError
from pipeline.core.paths import expand
from pipeline.core.spec import validate_spec
from pipeline.core.workspace import write_atomic
from pipeline.data.formats import Formatter
from pipeline.data.rows import BadRow, Draft, SourceRow
from pipeline.data.sources import open_source
from pipeline.resolve import DEFAULT_METRICS
from schemas.base import Reference
from schemas.plan import Task

SAMPLE: Final = 5000
"""Rows that are looked at."""

SHOWN: Final = 5
MOST_LINES: Final = 25

_EMPTY_NAMES = frozenset({"data", "dataset", "examples", "rows", "train", "training", "tmp"})
"""File names that say nothing about the task."""


@dataclass(frozen=True)
class Proposal:
    """What `hone init` found: how to read the file, the task and its metrics, and the first rows as they are read.

    ``sampled`` rows were looked at; ``whole`` says that those are all. ``bad`` are those of them that cannot be used.
    """

    source: str
    reading: Reading
    task: Task
    metrics: tuple[str, ...]
    drafts: tuple[Draft, ...]
    sampled: int
    whole: bool
    bad: tuple[BadRow, ...]
    labels: int | None

    @property
    def guess(self) -> Guess | None:
        """The column that nobody has named, if there is one."""
        return self.reading.guess


def propose(source: str, wishes: Wishes) -> Proposal:
    """Look at the first rows of a file, a folder of files or a Hub data set.

    Raises:
        SourceError, ConfigError, DataError: it cannot be read, or no question and answer are found in it.
    """
    opened = open_source(Reference(location=source), "train", CallContext())
    rows = list(islice(opened.rows, SAMPLE + 1))
    whole = len(rows) <= SAMPLE
    rows = rows[:SAMPLE]
    good = [row for row in rows if isinstance(row, SourceRow)]
    bad = [row for row in rows if isinstance(row, BadRow)]
    if not good:
        reason = f"no row can be read: row {bad[0].number}: {bad[0].reason}" if bad else "the file holds no rows"
        raise DataError(reason, where=source, fix="check that the file is of the kind that its ending says")
    reading = guess_reading(good, wishes, source)
    drafts, refused = _drafts(reading, good)
    bad = sorted([*bad, *refused], key=lambda row: row.number)
    if not drafts:
        raise DataError(
            f"no row can be used: row {bad[0].number}: {bad[0].reason}",
            where=source,
            fix="name the columns with --prompt and --completion or --label",
        )
    task = wishes.task or guess_task(reading.layout, drafts)
    labels = {draft.answer_text for draft in drafts} if task == "classification" else None
    return Proposal(
        source=source,
        reading=reading,
        task=task,
        metrics=DEFAULT_METRICS[task],
        drafts=tuple(drafts),
        sampled=len(rows),
        whole=whole,
        bad=tuple(bad),
        labels=None if labels is None else len(labels),
    )


def _drafts(reading: Reading, rows: Sequence[SourceRow]) -> tuple[list[Draft], list[BadRow]]:
    formatter = Formatter(reading.layout, reading.options)
    drafts, bad = [], []
    for row in rows:
        try:
            drafts.append(formatter.draft(row, "train"))
        except ValueError as error:
            bad.append(BadRow(row.number, str(error), row.values))
    return drafts, bad


def default_name(source: str) -> str:
    """Return a run name made of the file's name, or its folder's: lower-case letters, digits and hyphens."""
    path = expand(source).absolute()
    stems = [path.stem, path.parent.name]
    slugs = [re.sub(r"[^a-z0-9]+", "-", stem.lower()).strip("-")[:40].strip("-") for stem in stems]
    return next((slug for slug in slugs if slug and slug not in _EMPTY_NAMES), "my-task")


def spec_text(proposal: Proposal, *, name: str, base_model: str, folder: Path) -> str:
    """Return the commented description; paths in it start at ``folder``, where it will lie.

    Raises:
        ConfigError: a name given by the user may not stand in a description.
    """
    lines = [
        "# Check it with `hone data check`, see what it takes with `hone plan`, carry it out with `hone run`.",
        f"name: {_inline(name)}",
        f"task: {proposal.task}  # {_task_reason(proposal)}",
        'description: ""  # what the model is to do, in one sentence: asked of the untuned base, too',
        f"base_model: {_inline(base_model)}  # a folder, a Hub id, or a registered version (name@champion)",
        "data:",
        f"  path: {_inline(_path_from(folder, proposal.source))}  # {_rows_read(proposal)}",
        *_column_lines(proposal),
        "  split: {validation: 0.1, test: 0.2, by: cluster}  # near-duplicates stay on one side; or stratified, group",
        "train:",
        *_method_lines(proposal),
        "  adapter: lora  # or qlora, full; rank, learning rate and batch as in `hone plan`, or written here",
        "evaluate:",
        f"  metrics: {_inline(list(proposal.metrics))}  # the first decides",
        f"  # target: {{{proposal.metrics[0]}: 0.9}}  # the gate refuses what does not reach it",
        "  # What the base could do before and must not lose: name its data, or waive it in your own words.",
        "  # retention: [{name: chat, data: {path: chat.jsonl}, margin: 0.03}]",
        "  retention_waived: this description was written by hone init and names no other task of the base",
        "variants: [merged]  # also: fp8_dynamic, w4a16, w8a8",
        "# constraints: {max_hours: 2, max_cost: 20}",
    ]
    text = "\n".join(lines) + "\n"
    assert len(lines) <= MOST_LINES
    validate_spec(yaml.safe_load(text), source="the description")
    return text


def write_spec(path: Path, text: str, *, force: bool) -> None:
    """Write a description.

    Raises:
        ConfigError: something is there already and ``force`` is not set.
    """
    check_free(path, force=force)
    write_atomic(path, text)


def check_free(path: Path, *, force: bool) -> None:
    """Refuse to write over a file.

    Raises:
        ConfigError: something is there already and ``force`` is not set, or it is a folder.
    """
    if path.is_dir():
        raise ConfigError("this is a folder", where=f"--out {path}", fix="name a file: --out hone.yaml")
    if path.exists() and not force:
        raise ConfigError(
            "the file exists and is left as it is",
            where=f"--out {path}",
            fix="name another with --out, or give --force",
        )


def _task_reason(proposal: Proposal) -> str:
    others = ", ".join(sorted({"classification", "extraction", "generation"} - {proposal.task}))
    return f"{_seen(proposal)}; or {others}"


def _seen(proposal: Proposal) -> str:
    match proposal.task:
        case "classification":
            return f"{'' if proposal.whole else 'at least '}{proposal.labels} different answers"
        case "extraction":
            return "answers are JSON objects"
        case "generation":
            return "answers are free text"


def _rows_read(proposal: Proposal) -> str:
    more = "" if proposal.whole else "first "
    return f"{more}{proposal.sampled:,} rows read as {proposal.reading.layout.format}"


def _column_lines(proposal: Proposal) -> list[str]:
    layout = proposal.reading.layout
    named = any(column is not None for _, column in proposal.reading.options.columns)
    unused = ", ".join(layout.unused)
    note = f"  # not read: {unused}" if unused and unused.isprintable() and len(unused) < 200 else ""
    columns = dict(layout.columns) if layout.format != "alpaca" else {}
    lines = [f"  format: {layout.format}{note}"]
    if named or layout.format in ("label", "prompt_completion", "text"):
        lines.append(f"  columns: {_inline({str(slot): name for slot, name in columns.items()})}")
    if proposal.bad:
        first = proposal.bad[0].number
        lines.append(f"  # bad_rows: {{action: drop}}  # {len(proposal.bad)} rows cannot be used, the first is {first}")
    return lines


def _method_lines(proposal: Proposal) -> list[str]:
    return ["  method: dpo"] if proposal.reading.layout.format == "preference" else []


def _path_from(folder: Path, source: str) -> str:
    """Return the source as the description names it: from its own folder where it can be, else absolute."""
    path = expand(source)
    if not path.exists():
        return source
    if Path(source).is_absolute() and not path.resolve().is_relative_to(folder.resolve()):
        return str(path)
    return os.path.relpath(path.resolve(), folder.resolve())


def _inline(value: Any) -> str:
    """Return a value as YAML on one line, quoted only where it has to be."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_inline(key)}: {_inline(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_inline(item) for item in value) + "]"
    text = str(value)
    return (
        text if _survives(text) else yaml.safe_dump(text, default_style='"', allow_unicode=True, width=math.inf).strip()
    )


def _survives(text: str) -> bool:
    """Tell whether YAML reads the bare word as this very text, wherever it stands, and not as something else."""
    try:
        return bool(yaml.safe_load(f"key: {text}  # note\nlist: [{text}, end]") == {"key": text, "list": [text, "end"]})
    except yaml.YAMLError:
        return False
