"""Answers as they come back: CSV sheets of several people, or Label Studio's JSON export."""

from __future__ import annotations

import csv
import difflib
import io
import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.core.errors import DataError, SourceError
from pipeline.evaluate.human.writing import ANSWER_COLUMN
from schemas.human import LEAST_RATING, MOST_RATING, SheetItem, SheetKey

_SHOWN = 10
_PREFERENCES = {"a": "A", "b": "B", "tie": "tie"}
_SHEET = re.compile(r"[0-9a-f]{8}")
_COPY = re.compile(r"\s*\(\d+\)$")
_ADJUDICATION = "adjudication-"


@dataclass(frozen=True)
class Raw:
    """One answer as it stands in a file. ``value`` is empty where nothing was given."""

    annotator: str
    code: str
    value: str
    where: str


@dataclass(frozen=True)
class Answers:
    """Checked answers: by code, then by annotator; ``A``, ``B`` and ``tie``, or a rating as a number."""

    given: Mapping[str, Mapping[str, str | int]]
    annotators: tuple[str, ...]


def answer_files(paths: Sequence[Path]) -> list[Path]:
    """Return the files of answers among ``paths``; of a folder its CSV and JSON files, adjudication sheets aside.

    Raises:
        SourceError: nothing of the kind is there.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = (file for kind in ("csv", "json") for file in path.glob(f"*.{kind}"))
            found += sorted(file for file in inside if not file.name.startswith(_ADJUDICATION))
        elif path.is_file():
            found.append(path)
        else:
            raise SourceError("no such file or folder", where=str(path), fix="name the answers that came back")
    if not found:
        raise SourceError(
            "no answers are here", where=", ".join(map(str, paths)), fix="name CSV sheets or Label Studio's JSON export"
        )
    return found


def read_raw(files: Iterable[Path]) -> list[Raw]:
    """Return every answer of the files as it stands there.

    Raises:
        SourceError: a file cannot be read.
        DataError: a file is neither a sheet nor Label Studio's export.
    """
    return [raw for file in files for raw in _read(file)]


def check_answers(raws: Sequence[Raw], key: SheetKey) -> Answers:
    """Return the answers by code and annotator. Empty ones are missing; whoever gave none is no annotator.

    Raises:
        DataError: unknown codes, values that are no answer, or two answers of one person to one item (all named).
    """
    items = {item.code: item for item in key.items}
    problems: list[str] = []
    places: dict[tuple[str, str], str] = {}
    given: dict[str, dict[str, str | int]] = {}
    for raw in raws:
        item = items.get(raw.code)
        if item is None:
            problems.append(f"{raw.where}: {_unknown(raw.code, items)}")
            continue
        if not raw.value.strip():
            continue
        value = _value(item, raw.value.strip())
        if value is None:
            problems.append(f"{raw.where}: {raw.value.strip()!r} is no {_allowed(item)}")
            continue
        first = places.get((raw.annotator, raw.code))
        if first is not None:
            problems.append(f"{raw.where}: {raw.annotator} has answered {raw.code} before, in {first}")
            continue
        places[raw.annotator, raw.code] = raw.where
        given.setdefault(raw.code, {})[raw.annotator] = value
    if problems:
        more = f" ... and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise DataError(
            f"{len(problems)} {'row is' if len(problems) == 1 else 'rows are'} wrong",
            where=problems[0].partition(": ")[0],
            fix="correct them and import again",
            detail="\n".join(problems[:_SHOWN]) + more,
        )
    people = sorted({annotator for answers in given.values() for annotator in answers})
    if not people:
        raise DataError("not one answer is given", where=raws[0].where if raws else "answers", fix="fill in the sheets")
    return Answers(given, tuple(people))


def sheet_of(raws: Sequence[Raw]) -> str:
    """Return the sheet that answers belong to: what stands before the dash in their codes.

    Raises:
        DataError: they have none, or belong to several, or one is no name.
    """
    sheets = {raw.code.partition("-")[0]: raw.where for raw in raws if raw.code}
    for sheet, where in sheets.items():
        if not _SHEET.fullmatch(sheet):
            raise DataError("this is no item of a sheet", where=where, fix="keep the column item as it was exported")
    if len(sheets) == 1:
        return next(iter(sheets))
    if not sheets:
        raise DataError("no row has an item", where="answers", fix="keep the column item as it was exported")
    named = ", ".join(f"{sheet} ({where})" for sheet, where in sorted(sheets.items())[:_SHOWN])
    raise DataError(f"the answers belong to several sheets: {named}", where="answers", fix="import one sheet at a time")


def _read(path: Path) -> Iterator[Raw]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"cannot read: {error}", where=str(path), fix="save it as UTF-8") from error
    yield from _export(path, text) if text.lstrip().startswith(("[", "{")) else _sheet(path, text)


def _sheet(path: Path, text: str) -> Iterator[Raw]:
    """Yield the rows of a CSV sheet; spreadsheets may have saved it with semicolons or tabs."""
    csv.field_size_limit(sys.maxsize)
    header = text.partition("\n")[0]
    delimiter = max(",;\t", key=header.count)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, restval="", strict=True)
    columns = reader.fieldnames or []
    answer = next((column for column in ANSWER_COLUMN.values() if column in columns), None)
    if "item" not in columns or answer is None:
        raise DataError(
            f"the columns are {', '.join(map(str, columns[:8])) or 'none'}",
            where=str(path),
            fix=f"keep item and {' or '.join(ANSWER_COLUMN.values())} as they were exported",
        )
    for row in _rows(reader, path):
        if any((value or "").strip() for name, value in row.items() if name is not None):
            who = (row.get("annotator") or "").strip() or _name(path)
            yield Raw(who, (row["item"] or "").strip(), row[answer] or "", f"{path.name}, line {reader.line_num}")


def _rows(reader: csv.DictReader[str], path: Path) -> Iterator[dict[str | Any, str | Any]]:
    try:
        yield from reader
    except csv.Error as error:
        raise DataError(
            f"this is no CSV sheet: {error}",
            where=f"{path}, line {reader.line_num}",
            fix="save it as CSV, each text in quotes that are closed",
        ) from error


def _name(path: Path) -> str:
    """Return whose sheet it is by its name: ``pairwise.anna.csv`` and ``rating.anna.csv`` are one person's.

    The number that a second download gets, ``pairwise.anna (1).csv``, makes nobody of its own; sheets that were not
    renamed are those of the folder.
    """
    parts = [part for part in _COPY.sub("", path.stem).split(".") if part not in ANSWER_COLUMN]
    return ".".join(parts) or path.absolute().parent.name or path.stem


def _export(path: Path, text: str) -> Iterator[Raw]:
    """Yield the annotations of Label Studio's JSON export; skipped tasks are missing answers."""
    try:
        tasks = json.loads(text)
        for number, task in enumerate(tasks, start=1):
            code = str(task["data"]["item"])
            for place, annotation in enumerate(task.get("annotations", ()), start=1):
                who = _annotator(annotation.get("completed_by"))
                value = "" if annotation.get("was_cancelled") else _result(annotation.get("result", ()))
                where = f"{path.name}, task {task.get('id', number)}, annotation {annotation.get('id', place)}"
                yield Raw(who, code, value, where)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(
            f"this is no JSON export of Label Studio: {type(error).__name__} {error}",
            where=str(path),
            fix="export the project as JSON (not JSON-MIN)",
        ) from error


def _annotator(completed_by: Any) -> str:
    if isinstance(completed_by, Mapping):
        return str(completed_by.get("email") or completed_by["id"])
    return str(completed_by)


def _result(result: Sequence[Mapping[str, Any]]) -> str:
    for part in result:
        if part["from_name"] in ANSWER_COLUMN.values():
            value = part["value"]
            return str(value["choices"][0] if "choices" in value else value["rating"])
    return ""


def _value(item: SheetItem, text: str) -> str | int | None:
    if item.kind == "pairwise":
        return _PREFERENCES.get(text.lower())
    number = text.removesuffix(".0")
    return int(number) if number.isdecimal() and LEAST_RATING <= int(number) <= MOST_RATING else None


def _allowed(item: SheetItem) -> str:
    if item.kind == "pairwise":
        return "preference; write A, B or tie"
    return f"rating; write a whole number from {LEAST_RATING} to {MOST_RATING}"


def _unknown(code: str, known: Mapping[str, SheetItem]) -> str:
    near = difflib.get_close_matches(code, known, n=1)
    return f"no item is called {code!r}" + (f"; did you mean {near[0]}?" if near else "")
