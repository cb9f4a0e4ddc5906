"""Reading a source to the end: drafts of its good rows, and every bad row with its reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain, islice

from pipeline.core.context import CallContext
from pipeline.core.errors import DataError
from pipeline.data.columns import Layout, find_layout, unread_text
from pipeline.data.formats import Formatter
from pipeline.data.names import listed
from pipeline.data.rows import BadRow, Draft, SourceRow
from pipeline.data.sources import Source, open_source
from schemas.base import Reference
from schemas.data import BadRows, DataOptions, Split

PEEK = 1000
"""Rows from which columns and format are found."""

_NAMED = 20
"""Bad rows that an error message names."""

_LONGEST = 300
"""Characters of a reason that a message shows."""


@dataclass(frozen=True)
class Loaded:
    """One source, read: ``read`` counts all its rows, good and bad.

    ``unread_columns`` are read by nothing; ``unread_text`` are those of them that hold text. ``verdicts`` are what an
    unread column ``label`` says of the answer of each row, true or false, as in TRL's unpaired preferences.
    """

    role: Split
    location: str
    encoding: str
    layout: Layout
    drafts: list[Draft]
    bad: list[BadRow]
    unread_keys: dict[str, int]
    own_system: int
    unread_columns: tuple[str, ...] = ()
    unread_text: tuple[str, ...] = ()
    others: tuple[Split, ...] = ()
    verdicts: dict[int, bool] = field(default_factory=dict)

    @property
    def read(self) -> int:
        """Number of rows, good and bad."""
        return len(self.drafts) + len(self.bad)


def load_source(reference: Reference, role: Split, options: DataOptions, context: CallContext) -> Loaded:
    """Read a source whole.

    Raises:
        SourceError, DataError, ConfigError, IntegrityError: it cannot be read, holds no rows, or fits no format.
    """
    source = open_source(reference, role, context)
    head = list(islice(source.rows, PEEK))
    good = [row for row in head if isinstance(row, SourceRow)]
    if not good:
        raise _nothing_readable(source, head)
    layout = find_layout(options, good, source.location)
    formatter = Formatter(layout, options)
    drafts: list[Draft] = []
    bad: list[BadRow] = []
    verdicts: dict[int, bool] = {}
    verdict = next((name for name in formatter.unread if name.casefold() == "label"), None)
    for row in chain(head, source.rows):
        result = _draft(row, formatter, role)
        if isinstance(result, Draft):
            drafts.append(result)
            if verdict is not None and isinstance(row, SourceRow) and isinstance(row.values.get(verdict), bool):
                verdicts[row.number] = row.values[verdict]
        else:
            bad.append(result)
    return Loaded(
        role=role,
        location=source.location,
        encoding=source.encoding,
        layout=layout,
        drafts=drafts,
        bad=bad,
        unread_keys=dict(formatter.unread_keys),
        own_system=formatter.own_system,
        unread_columns=formatter.unread,
        unread_text=unread_text(formatter.unread, good),
        others=source.others,
        verdicts=verdicts if len(verdicts) == len(drafts) else {},
    )


def check_bad_rows(loaded: Sequence[Loaded], options: BadRows) -> None:
    """Stop where bad rows may not be dropped, or are too many. All of them are in the error's detail.

    Raises:
        DataError: naming file, row and reason of the first bad rows.
    """
    failing = [source for source in loaded if source.bad and not may_drop(source, options)]
    if not failing:
        return
    over = "" if options.action == "stop" else f", over the cap of {options.cap:.1%} (data.bad_rows.cap)"
    told = [
        f"{len(source.bad)} of {source.read} rows cannot be used{over}: {named_rows(source.bad)}" for source in failing
    ]
    also = [f"; {source.location}: {text}" for source, text in zip(failing[1:], told[1:], strict=True)]
    raise DataError(
        told[0] + "".join(also),
        where=failing[0].location,
        fix="correct them, or " + ("set data.bad_rows.action to drop" if options.action == "stop" else "raise the cap"),
        detail="\n".join(f"{source.location}: {row_line(row)}" for source in failing for row in source.bad),
    )


def may_drop(source: Loaded, options: BadRows) -> bool:
    """Say whether the bad rows of a source may be set aside; a source without any may."""
    if not source.bad:
        return True
    share = len(source.bad) / source.read
    return options.action == "drop" and share <= options.cap and bool(source.drafts)


def _draft(row: SourceRow | BadRow, formatter: Formatter, role: Split) -> Draft | BadRow:
    if isinstance(row, BadRow):
        return row
    try:
        return formatter.draft(row, role)
    except ValueError as error:
        return BadRow.of(row.number, error, row.values)


def _nothing_readable(source: Source, head: Sequence[SourceRow | BadRow]) -> DataError:
    """Return the error for a source whose first rows are all bad: it is not worth reading on."""
    bad = [row for row in head if isinstance(row, BadRow)]
    if not bad:
        return DataError("the file holds no rows", where=source.location, fix="give a file with rows")
    return DataError(
        f"none of the first {len(bad)} rows can be read: {named_rows(bad)}",
        where=source.location,
        fix="check that the file is of the kind that its ending says, and is saved as UTF-8",
        detail="\n".join(map(row_line, bad)),
    )


def named_rows(bad: Sequence[BadRow]) -> str:
    """Return the numbers and reasons of the first bad rows, and how many more there are."""
    return listed([row_line(row) for row in bad], _NAMED, "; ")


def row_line(row: BadRow) -> str:
    """Return a bad row's number and reason."""
    return f"row {row.number}: {row.reason[:_LONGEST]}"
