"""What `hone init` proposes for a file of examples: how to read it, the task, its metrics and its labels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Final

from local_runner.column_profile import is_json_object
from local_runner.guess import Guess, Reading, Wishes, guess_reading, guess_task
from pipeline.core.context import CallContext
from pipeline.core.errors import ConfigError, DataError
from pipeline.data.formats import Formatter
from pipeline.data.rows import BadRow, Draft, SourceRow
from pipeline.data.sources import open_source
from pipeline.resolve import DEFAULT_METRICS
from schemas.base import Reference
from schemas.plan import Task

SAMPLE: Final = 5000
"""Rows that are looked at."""

SHOWN: Final = 5


@dataclass(frozen=True)
class Proposal:
    """What `hone init` found: how to read the file, the task and its metrics, and the first rows as they are read.

    ``sampled`` rows were looked at, of ``total``. ``bad`` are those of them that cannot be used. ``labels`` are all
    answers of a classification, of every row.
    """

    source: str
    reading: Reading
    task: Task
    metrics: tuple[str, ...]
    drafts: tuple[Draft, ...]
    sampled: int
    total: int
    bad: tuple[BadRow, ...]
    labels: tuple[str, ...] | None

    @property
    def guess(self) -> Guess | None:
        """The column that answers, where nobody has named it."""
        return self.reading.guess

    @property
    def guesses(self) -> tuple[Guess, ...]:
        """The columns that nobody has named: what asks, what answers."""
        return tuple(guess for guess in (self.reading.asks, self.reading.guess) if guess is not None)


def propose(source: str, wishes: Wishes) -> Proposal:
    """Look at the first rows of a file, a folder of files or a Hub data set.

    Raises:
        SourceError, ConfigError, DataError: it cannot be read, or no question and answer are found in it.
    """
    remaining = open_source(Reference(location=source), "train", CallContext()).rows
    rows = list(islice(remaining, SAMPLE))
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
    check_task(task, wishes, drafts, source)
    labels = {draft.answer_text for draft in drafts} if task == "classification" else None
    total = len(rows) + _count_rest(reading, remaining, labels)
    return Proposal(
        source=source,
        reading=reading,
        task=task,
        metrics=DEFAULT_METRICS[task],
        drafts=tuple(drafts),
        sampled=len(rows),
        total=total,
        bad=tuple(bad),
        labels=None if labels is None else tuple(sorted(labels)),
    )


def _count_rest(reading: Reading, rows: Iterable[SourceRow | BadRow], labels: set[str] | None) -> int:
    """Return how many rows come after the sample, and add their labels to ``labels``."""
    formatter = Formatter(reading.layout, reading.options)
    count = 0
    for row in rows:
        count += 1
        if labels is not None and isinstance(row, SourceRow):
            with suppress(ValueError):
                labels.add(formatter.draft(row, "train").answer_text)
    return count


def _drafts(reading: Reading, rows: Sequence[SourceRow]) -> tuple[list[Draft], list[BadRow]]:
    formatter = Formatter(reading.layout, reading.options)
    drafts, bad = [], []
    for row in rows:
        try:
            drafts.append(formatter.draft(row, "train"))
        except ValueError as error:
            bad.append(BadRow.of(row.number, error, row.values))
    return drafts, bad


def check_task(task: Task, wishes: Wishes, drafts: Sequence[Draft], source: str) -> None:
    """Refuse a task that the user names and the answers cannot be scored by.

    Raises:
        ConfigError: extraction is scored as JSON objects, and most answers are none.
    """
    objects = sum(is_json_object(draft.answer_text) for draft in drafts)
    if wishes.task == task == "extraction" and 2 * objects < len(drafts):
        raise ConfigError(
            f"extraction is scored as JSON objects, and {len(drafts) - objects} of {len(drafts)} answers of {source} "
            "are none",
            where="--task",
            fix="give --task classification or generation, or name the column of JSON with --completion",
        )
