"""Files of probes: rows of JSON lines or CSV with their places, read strictly."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.core.errors import DataError, SourceError
from pipeline.core.json_text import read_json


@dataclass(frozen=True)
class FileRow:
    """One row; ``where`` is its file and line, for errors."""

    where: str
    values: Mapping[str, Any]

    def text(self, *names: str) -> str:
        """Return the text under the first of ``names`` that the row has.

        Raises:
            DataError: there is none, or it is empty or no text.
        """
        found = next((self.values[name] for name in names if self.values.get(name) is not None), None)
        if not isinstance(found, str) or not found.strip():
            raise self.wrong(f"has no text under {' or '.join(names)}", "complete the row, or remove it")
        return found

    def named(self, *names: str) -> str | None:
        """Return what is under the first of ``names`` that the row fills, as text; None where it fills none.

        Raises:
            DataError: it is neither text nor number.
        """
        found = next((self.values[name] for name in names if self.values.get(name) not in (None, "")), None)
        if found is not None and not isinstance(found, (str, int, float)):
            raise self.wrong(f"has no text or number under {' or '.join(names)}", "write one, or leave it out")
        return None if found is None else str(found)

    def wrong(self, what: str, fix: str) -> DataError:
        """Return the error that names this row."""
        return DataError(f"the row {what}", where=self.where, fix=fix)


def read_rows(path: Path, *kinds: str) -> list[FileRow]:
    """Return the rows of a file, or of all files of the given ``kinds`` in a folder, in the order of their names.

    ``.csv`` has a header; everything else is one JSON object a line.

    Raises:
        SourceError: nothing can be read there.
        DataError: a line is no row (it is named), or there is none.
    """
    files = [path] if path.is_file() else sorted(file for kind in kinds for file in path.rglob(f"*.{kind}"))
    rows = [row for file in files for row in (_csv if file.suffix.lower() == ".csv" else _json_lines)(file)]
    if not rows:
        raise SourceError("no rows are here", where=str(path), fix=f"name a file (.{', .'.join(kinds)}) with rows")
    return rows


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"cannot read: {error}", where=str(path), fix="give a file in UTF-8") from error


def _json_lines(path: Path) -> Iterator[FileRow]:
    for number, line in enumerate(_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        try:
            value = read_json(line)
        except ValueError as error:
            raise DataError(f"not JSON: {error}", where=where, fix="write one JSON object a line") from error
        if not isinstance(value, dict):
            raise DataError("the row is no JSON object", where=where, fix="write one JSON object a line")
        yield FileRow(where, value)


def _csv(path: Path) -> Iterator[FileRow]:
    reader = csv.DictReader(io.StringIO(_text(path), newline=""), strict=True)
    read = 0
    try:
        read = reader.line_num if reader.fieldnames else 0
        for values in reader:
            where, read = f"{path}:{read + 1}", reader.line_num
            if None in values or None in values.values():
                raise DataError("the row has not the cells of the header", where=where, fix="quote the cell, or repair")
            yield FileRow(where, values)
    except csv.Error as error:
        raise DataError(f"not CSV: {error}", where=f"{path}:{read + 1}", fix="close the quote, or repair") from error
