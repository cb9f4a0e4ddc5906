"""A quick look at a raw source: how many rows it has, an even sample of them, and the longest.

Nothing is judged here: rows that cannot be read are left out of the sample, and the data stage reports them by number.
"""

from __future__ import annotations

import csv
import heapq
import itertools
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pipeline.core.context import CallContext
from pipeline.core.errors import DataError, SourceError
from pipeline.core.references import open_reference
from pipeline.plan.backends import load_dataset, open_text, require, revision_of
from schemas.base import Reference

SAMPLE = 500
"""Rows that are looked at, evenly spread."""

LONGEST = 50
"""Rows of the most characters that are looked at, too: one of them has the most tokens."""

TRAIN_NAMES = ("train", "training")
TEST_NAMES = ("test", "testing")

_TEXT = {".jsonl", ".ndjson", ".json", ".csv", ".tsv"}
_TABLES = {".parquet", ".arrow", ".feather"}
_LONGEST_CELL = 10_000_000
_BATCH = 1000

T = TypeVar("T")
Row = dict[str, Any]
Size = Callable[[Row], int]


@dataclass(frozen=True)
class RawRows:
    """Rows of a source, those of the even sample that could be read, and the longest of all."""

    count: int
    sample: tuple[Row, ...]
    longest: tuple[Row, ...] = ()


def look_at(
    reference: Reference,
    context: CallContext,
    split_names: tuple[str, ...] = TRAIN_NAMES,
    *,
    size: Size = lambda _: 0,
) -> RawRows:
    """Count the rows of a file, a folder of files, a saved data set or a Hub data set, and sample them.

    ``size`` of a row decides which are the longest.

    Raises:
        SourceError: nothing is there, or it cannot be read.
        DataError: it holds no rows.
        IntegrityError: it changed since the run began.
    """
    path = open_reference(reference)
    if path.is_file():
        found = _join([_look_at_file(path, size)])
    elif path.is_dir():
        found = _look_at_folder(path, split_names, size)
    elif path.suffix.lower() in _TEXT | _TABLES or path.parent.is_dir() or path.is_absolute():
        raise SourceError("no such file or folder", where=str(path), fix="check the path")
    else:
        token = context.secrets.get("HF_TOKEN")
        loaded = load_dataset("hub", reference.location, split_names, revision_of(reference), token)
        found = _pick(loaded.rows, loaded.size, size)
    if found.count == 0:
        raise DataError("there are no rows", where=reference.location, fix="give a file with one example per row")
    return found


def _look_at_folder(path: Path, split_names: tuple[str, ...], size: Size) -> RawRows:
    if (path / "dataset_dict.json").is_file() or (path / "state.json").is_file():
        loaded = load_dataset("folder", str(path), split_names, None, None)
        return _pick(loaded.rows, loaded.size, size)
    files = [file for file in sorted(path.rglob("*")) if file.suffix.lower() in _TEXT | _TABLES]
    named = [file for file in files if any(name in file.relative_to(path).as_posix().lower() for name in split_names)]
    return _join([_look_at_file(file, size) for file in named or files])


def _join(parts: list[RawRows]) -> RawRows:
    rows = [row for part in parts for row in part.sample]
    longest = tuple(row for part in parts for row in part.longest)
    return RawRows(sum(part.count for part in parts), tuple(_spread(rows, len(rows))), longest)


def _pick(rows: Iterable[Row | None], count: int, size: Size) -> RawRows:
    """Return about `SAMPLE` of ``count`` rows, evenly spread, and the longest; None stands for an unreadable one."""
    step = max(1, -(-count // SAMPLE))
    sample: list[Row] = []

    def sized() -> Iterator[tuple[int, int, Row]]:
        for index, row in enumerate(rows):
            if row is not None:
                if index % step == 0:
                    sample.append(row)
                yield size(row), -index, row

    longest = heapq.nlargest(LONGEST, sized(), key=lambda item: item[:2])
    return RawRows(count, tuple(sample), tuple(row for _, _, row in longest))


def _look_at_file(path: Path, size: Size) -> RawRows:
    suffix = path.suffix.lower()
    try:
        if suffix in _TABLES:
            return _look_at_table(path, size)
        if suffix in (".csv", ".tsv"):
            return _look_at_csv(path, size)
        return _look_at_json(path, size)
    except UnicodeDecodeError as error:
        raise DataError(
            f"not valid {error.encoding}: {error.reason}", where=str(path), fix="save it as UTF-8"
        ) from error
    except OSError as error:
        raise SourceError(
            f"cannot read: {error.strerror or error}", where=str(path), fix="check the file and its permissions"
        ) from error


def _look_at_json(path: Path, size: Size) -> RawRows:
    with open_text(path) as stream:
        count = sum(1 for line in stream if line.strip())
        stream.seek(0)
        found = _pick((_object(line) for line in stream if line.strip()), count, size)
        rows = found.sample
        if rows and not (count == 1 and len(rows[0]) == 1):
            return found
        stream.seek(0)
        values = _value(stream.read())
    if isinstance(values, dict) and len(values) == 1:
        (values,) = values.values()
    if isinstance(values, list):
        return _pick(map(_row, values), len(values), size)
    return found


def _look_at_csv(path: Path, size: Size) -> RawRows:
    csv.field_size_limit(_LONGEST_CELL)
    with open_text(path) as stream:
        head = stream.readline()
        delimiter = max(",;\t|", key=head.count)
        stream.seek(0)
        try:
            count = sum(1 for row in csv.reader(stream, delimiter=delimiter) if row) - 1
            stream.seek(0)
            return _pick(map(_row, csv.DictReader(stream, delimiter=delimiter)), max(count, 0), size)
        except csv.Error:
            return RawRows(sum(1 for _ in path.open("rb")), ())


def _look_at_table(path: Path, size: Size) -> RawRows:
    require("pyarrow", f"a {path.suffix} file")
    import pyarrow as pa
    from pyarrow import dataset, parquet

    try:
        if path.suffix.lower() == ".parquet":
            with parquet.ParquetFile(path) as file:
                batches = file.iter_batches(batch_size=_BATCH)
                return _pick(_rows_of(batches), file.metadata.num_rows, size)
        table = dataset.dataset(path, format="ipc")
        return _pick(_rows_of(table.to_batches(batch_size=_BATCH)), table.count_rows(), size)
    except pa.ArrowException as error:
        raise DataError(
            f"not a readable table: {str(error).splitlines()[0]}", where=str(path), fix="write the file again"
        ) from error


def _rows_of(batches: Iterable[Any]) -> Iterator[Row]:
    for batch in batches:
        yield from batch.to_pylist()


def _spread(items: Iterable[T], count: int) -> Iterator[T]:
    """Yield about `SAMPLE` items, evenly spread over ``count``."""
    step = max(1, -(-count // SAMPLE))
    return itertools.islice(items, 0, None, step)


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _object(text: str) -> Row | None:
    return _row(_value(text))


def _row(value: object) -> Row | None:
    """Return a row whose texts are such: half of a surrogate pair, which JSON can escape, is none."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except (UnicodeEncodeError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
