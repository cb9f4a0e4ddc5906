"""Public benchmark items, as files hold them: every text of a row is looked for, whatever its column is called."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pipeline.core.context import CallContext
from pipeline.core.errors import DataError
from pipeline.data.rows import SourceRow
from pipeline.data.sources import open_source
from schemas.base import Reference


def read_benchmark(reference: Reference, context: CallContext) -> list[str]:
    """Return the texts of a benchmark's items, each once.

    Raises:
        SourceError, ConfigError, IntegrityError: the file cannot be read, or changed.
        DataError: no row of it holds a text.
    """
    source = open_source(reference, "test", context)
    rows = [row for row in source.rows if isinstance(row, SourceRow)]
    texts = dict.fromkeys(text for row in rows for value in row.values.values() for text in _texts(value))
    if not texts:
        raise DataError(
            "no row holds a text", where=source.location, fix="give a file of items, or remove it from the list"
        )
    return list(texts)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _texts(item)
