"""Rows of Parquet and Arrow files, a batch at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.core.errors import DataError
from pipeline.data.backends import invalid_text, unreadable
from pipeline.data.rows import BadRow, SourceRow

if TYPE_CHECKING:
    from pyarrow import RecordBatch

_BATCH = 1000


def read_parquet(path: Path) -> Iterator[SourceRow | BadRow]:
    """Yield the rows of a Parquet file.

    Raises:
        DataError: the file is not Parquet, or is damaged.
    """
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    try:
        with ParquetFile(path) as file:
            yield from number_rows(_batches(file.iter_batches(batch_size=_BATCH)))
    except (ArrowException, OSError) as error:
        raise _damaged(path, "Parquet", error) from error


def read_arrow(path: Path) -> Iterator[SourceRow | BadRow]:
    """Yield the rows of an Arrow file, in the file or the stream format.

    Raises:
        DataError: the file is not Arrow, or is damaged.
    """
    import pyarrow as pa

    try:
        with pa.memory_map(str(path)) as source:
            reader: Any
            try:
                reader = pa.ipc.open_file(source)
                batches = (reader.get_batch(index) for index in range(reader.num_record_batches))
            except pa.ArrowInvalid:
                source.seek(0)
                batches = pa.ipc.open_stream(source)
            yield from number_rows(_batches(batches))
    except (pa.ArrowException, OSError) as error:
        raise _damaged(path, "Arrow", error) from error


def count_table_rows(path: Path) -> int:
    """Return the number of rows that a Parquet file states; 0 where only reading it would tell."""
    from pyarrow import ArrowException
    from pyarrow.parquet import read_metadata

    try:
        return int(read_metadata(path).num_rows) if path.suffix.lower() == ".parquet" else 0
    except (ArrowException, OSError) as error:
        raise _damaged(path, "Parquet", error) from error


def number_rows(rows: Iterator[dict[str, Any]]) -> Iterator[SourceRow | BadRow]:
    """Number rows from 1; a row with text that is no valid Unicode is a bad row."""
    for number, values in enumerate(rows, start=1):
        reasons = (
            f"column {name!r} is {reason}"
            for name, value in values.items()
            if isinstance(value, str) and (reason := invalid_text(value))
        )
        reason = next(reasons, None)
        yield SourceRow(number, values, from_table=True) if reason is None else BadRow(number, reason)


def _batches(batches: Iterator[RecordBatch]) -> Iterator[dict[str, Any]]:
    for batch in batches:
        yield from batch.to_pylist()


def _damaged(path: Path, kind: str, error: Exception) -> Exception:
    if isinstance(error, OSError) and error.errno is not None:
        return unreadable(path, error)
    return DataError(f"not a readable {kind} file: {error}", where=str(path), fix="write the file again")
