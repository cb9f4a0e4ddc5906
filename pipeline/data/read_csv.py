"""Rows of CSV files: a quote that is not closed costs the lines it touches, and each of them is counted.

A quoted cell may run over several lines. A quote too many looks just like that, and would make one row of hundreds; it
is told by the record's lines, which are rows by themselves (see `_holds_rows`).
"""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, TextIO

from pipeline.core.errors import DataError
from pipeline.data.backends import Encoding, invalid_text, open_text
from pipeline.data.read_text import EXCERPT, MAX_LINE
from pipeline.data.rows import BadRow, SourceRow

_DELIMITERS: Final = ",;\t|"

_SURELY_ROWS: Final = 3
"""Inner lines from which all having the header's width tells rows, even where spaces follow their delimiters."""

_ODD: Final = 0.1
"""Share of a swallowed record's lines that may be no good rows, or the quote's own."""

_BRACKETS: Final = ("()", "[]", "{}")


class _Lines(Iterator[str]):
    """The lines of a file, as a reader of records takes them; those of a failed record can be put back."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._waiting: deque[str] = deque()
        self.taken: list[str] = []
        self._before = 0

    def __next__(self) -> str:
        line = self._waiting.popleft() if self._waiting else next(self._stream)
        self.taken.append(line)
        return line

    def begin(self) -> int:
        """Begin a record; return the number of its first line."""
        self._before += len(self.taken)
        self.taken = []
        return self._before + 1

    def put_back(self) -> None:
        """Give all lines of this record but the first once more."""
        self._waiting.extendleft(reversed(self.taken[1:]))
        del self.taken[1:]


def read_csv(path: Path, encoding: Encoding, delimiter: str | None = None) -> Iterator[SourceRow | BadRow]:
    """Yield the rows of a CSV file with a header; without ``delimiter`` the header's most frequent of ``, ; tab |``.

    Every line that is not empty belongs to a row, or is a bad row. Behind a record that is no CSV reading goes on in
    its second line.

    Raises:
        DataError: a column has no name, or two have the same.
    """
    with open_text(path, encoding) as stream:
        header_line = stream.readline(MAX_LINE)
        stream.seek(0)
        delimiter = delimiter or max(_DELIMITERS, key=header_line.count)
        csv.field_size_limit(MAX_LINE)
        lines = _Lines(stream)
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
        header = _header(reader, path)
        while True:
            start = lines.begin()
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                lines.put_back()
                yield BadRow(start, f"not CSV: {error}", lines.taken[0][:EXCERPT])
                continue
            if cells:
                yield from _record(start, cells, lines.taken, header, delimiter)


def _header(reader: Iterator[list[str]], path: Path) -> list[str]:
    try:
        header = [name.strip() for name in next(reader)]
    except (StopIteration, csv.Error) as error:
        raise DataError("the file has no header line", where=str(path), fix="name the columns in line 1") from error
    for position, name in enumerate(header, start=1):
        if not name or invalid_text(name):
            raise DataError(f"column {position} has no name", where=str(path), fix="name every column in line 1")
        if header.count(name) > 1:
            raise DataError(f"two columns are named {name!r}", where=str(path), fix="give each column its own name")
    return header


def _record(
    start: int, cells: list[str], lines: Sequence[str], header: list[str], delimiter: str
) -> Iterator[SourceRow | BadRow]:
    """Yield the row of one record, or a bad row for each of its lines."""
    end = start + len(lines) - 1
    if _holds_rows(lines, len(header), delimiter):
        reason = (
            f"a quote opens a cell that runs to line {end}, over lines that read as rows of {len(header)} cells each; "
            "close or remove the quote (a text that holds such lines is safe in JSONL)"
        )
    elif len(cells) != len(header):
        reason = f"{len(cells)} cells where the header names {len(header)} columns"
    else:
        yield _row(start, dict(zip(header, cells, strict=True)))
        return
    yield BadRow(start, reason, cells if len(lines) == 1 else lines[0][:EXCERPT])
    for number, line in enumerate(lines[1:], start=start + 1):
        if line.strip("\r\n"):
            yield BadRow(number, f"belongs to the cell that a quote in line {start} opens", line[:EXCERPT])


def _row(number: int, values: dict[str, str]) -> SourceRow | BadRow:
    for name, cell in values.items():
        if reason := invalid_text(cell):
            return BadRow(number, f"column {name!r} is {reason}", values)
    return SourceRow(number, dict(values))


def _holds_rows(lines: Sequence[str], width: int, delimiter: str) -> bool:
    """Whether a record has swallowed rows: its lines are rows by themselves, all but one in ten.

    A letter has lines with the header's width, too (``1,200``), but one of all, the first and the last included, will
    fall short: the cells before and behind the letter stand in two lines. A line of prose often has one comma, but a
    space follows it; lines with such count only where several lie inside. In a file of one column nothing tells a line
    from a row.
    """
    inner = [line for line in lines[1:-1] if line.strip()]
    if width == 1 or not inner:
        return False
    alone = [_first_alone(lines[0], delimiter), *(_alone(line, delimiter) for line in (*inner, lines[-1]))]
    rows = [cells for cells in alone if _is_row(cells, width)]
    is_tight = not any(cell.startswith(" ") for cells in rows for cell in cells[1:])
    return len(alone) - len(rows) <= _ODD * len(alone) and (is_tight or len(inner) >= _SURELY_ROWS)


def _is_row(cells: Sequence[str], width: int) -> bool:
    """Whether a line's cells look like a row's: not like prose that ends with a comma, nor like ``f(a,b)``."""
    if len(cells) != width or not cells[-1].strip():
        return False
    return not any(cell.count(opening) > cell.count(closing) for cell in cells for opening, closing in _BRACKETS)


def _first_alone(line: str, delimiter: str) -> list[str]:
    """Return the cells of a record's first line as if the quote that it leaves open were not there."""
    *before, opened = next(csv.reader([line], delimiter=delimiter))
    return [*before, *(_alone(opened, delimiter) or [""])]


def _alone(line: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=delimiter, strict=True), [])
    except csv.Error:
        return []
