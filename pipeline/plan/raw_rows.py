"""A quick look at a raw source: how many rows it has, and an even sample of them.

Nothing is judged here: rows that cannot be read are left out of the sample, and the data stage reports them by number.
"""

from __future__ import annotations

import csv
import itertools
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pipeline.core.context import CallContext
from pipeline.core.errors import DataError, SourceError
from pipeline.core.references import open_reference
from pipeline.plan.backends import load_dataset, revision_of
from schemas.base import Reference

SAMPLE = 500
"""Rows that are looked at, evenly spread."""

TRAIN_NAMES = ("train", "training")
TEST_NAMES = ("test", "testing")

_TEXT = {".jsonl", ".ndjson", ".json", ".csv", ".tsv"}
_TABLES = {".parquet", ".arrow", ".feather"}
_LONGEST_CELL = 10_000_000
_LONGEST_TABLE_LOOK = 20_000

T = TypeVar("T")


@dataclass(frozen=True)
class RawRows:
    """Rows of a source, and those of the even sample that could be read."""

    count: int
    sample: tuple[dict[str, Any], ...]


def look_at(reference: Reference, context: CallContext, split_names: tuple[str, ...] = TRAIN_NAMES) -> RawRows:
    """Count the rows of a file, a folder of files, a saved data set or a Hub data set, and sample them.

    Raises:
        SourceError: nothing is there, or it cannot be read.
        DataError: it holds no rows.
        IntegrityError: it changed since the run began.
    """
    path = open_reference(reference)
    if path.is_file():
        found = _join([_look_at_file(path)])
    elif path.is_dir():
        found = _look_at_folder(path, split_names)
    elif path.suffix.lower() in _TEXT | _TABLES or path.parent.is_dir() or path.is_absolute():
        raise SourceError("no such file or folder", where=str(path), fix="check the path")
    else:
        token = context.secrets.get("HF_TOKEN")
        loaded = load_dataset("hub", reference.location, split_names, revision_of(reference), token)
        found = RawRows(loaded.size, tuple(_spread(loaded.rows, loaded.size)))
    if found.count == 0:
        raise DataError("there are no rows", where=reference.location, fix="give a file with one example per row")
    return found


def _look_at_folder(path: Path, split_names: tuple[str, ...]) -> RawRows:
    if (path / "dataset_dict.json").is_file() or (path / "state.json").is_file():
        loaded = load_dataset("folder", str(path), split_names, None, None)
        return RawRows(loaded.size, tuple(_spread(loaded.rows, loaded.size)))
    files = [file for file in sorted(path.rglob("*")) if file.suffix.lower() in _TEXT | _TABLES]
    named = [file for file in files if any(name in file.relative_to(path).as_posix().lower() for name in split_names)]
    return _join([_look_at_file(file) for file in named or files])


def _join(parts: list[RawRows]) -> RawRows:
    rows = [row for part in parts for row in part.sample]
    return RawRows(sum(part.count for part in parts), tuple(_spread(rows, len(rows))))


def _look_at_file(path: Path) -> RawRows:
    suffix = path.suffix.lower()
    try:
        if suffix in _TABLES:
            return _look_at_table(path)
        if suffix in (".csv", ".tsv"):
            return _look_at_csv(path)
        return _look_at_json(path)
    except OSError as error:
        raise SourceError(
            f"cannot read: {error.strerror or error}", where=str(path), fix="check the file and its permissions"
        ) from error


def _look_at_json(path: Path) -> RawRows:
    with path.open(encoding="utf-8-sig", errors="replace") as stream:
        count = sum(1 for line in stream if line.strip())
        stream.seek(0)
        texts = _spread((line for line in stream if line.strip()), count)
        rows = [row for row in map(_object, texts) if row is not None]
        if rows and not (count == 1 and len(rows[0]) == 1):
            return RawRows(count, tuple(rows))
        stream.seek(0)
        values = _value(stream.read())
    if isinstance(values, dict) and len(values) == 1:
        (values,) = values.values()
    if isinstance(values, list):
        return RawRows(len(values), tuple(row for row in _spread(values, len(values)) if isinstance(row, dict)))
    return RawRows(count, tuple(rows))


def _look_at_csv(path: Path) -> RawRows:
    csv.field_size_limit(_LONGEST_CELL)
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as stream:
        head = stream.readline()
        delimiter = max(",;\t|", key=head.count)
        stream.seek(0)
        try:
            count = sum(1 for row in csv.reader(stream, delimiter=delimiter) if row) - 1
            stream.seek(0)
            rows = tuple(_spread(csv.DictReader(stream, delimiter=delimiter), count))
        except csv.Error:
            return RawRows(sum(1 for _ in path.open("rb")), ())
    return RawRows(max(count, 0), rows)


def _look_at_table(path: Path) -> RawRows:
    import pyarrow as pa
    from pyarrow import dataset, parquet

    try:
        if path.suffix.lower() == ".parquet":
            with parquet.ParquetFile(path) as file:
                count = file.metadata.num_rows
                batches = file.iter_batches(batch_size=1000)
                head = [
                    row for batch in itertools.islice(batches, _LONGEST_TABLE_LOOK // 1000) for row in batch.to_pylist()
                ]
        else:
            table = dataset.dataset(path, format="ipc")
            count = table.count_rows()
            head = table.head(_LONGEST_TABLE_LOOK).to_pylist()
    except pa.ArrowException as error:
        raise DataError(
            f"not a readable table: {str(error).splitlines()[0]}", where=str(path), fix="write the file again"
        ) from error
    return RawRows(count, tuple(_spread(head, len(head))))


def _spread(items: Iterable[T], count: int) -> Iterator[T]:
    """Yield about `SAMPLE` items, evenly spread over ``count``."""
    step = max(1, -(-count // SAMPLE))
    return itertools.islice(items, 0, None, step)


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _object(text: str) -> dict[str, Any] | None:
    value = _value(text)
    return value if isinstance(value, dict) else None
