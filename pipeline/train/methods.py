"""Whether a method can learn from the rows that it is given."""

from __future__ import annotations

from pipeline.core.errors import DataError
from schemas.data import ExampleKind
from schemas.methods import METHODS, TrainMethod, methods_for


def check_kind(method: TrainMethod, kind: ExampleKind, source: str) -> None:
    """Refuse data that a method cannot learn from.

    Raises:
        DataError: ``kind`` is none of the method's kinds; the fix names the methods that take it.
    """
    if kind in METHODS[method].kinds:
        return
    raise DataError(
        f"method {method} learns from {' or '.join(METHODS[method].kinds)} rows, and these are {kind} rows",
        where=source,
        fix=f"set train.method to {' or '.join(methods_for(kind))}, or give other data",
    )
