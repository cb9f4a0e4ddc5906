"""The method table: what each training method takes. A new method is one trainer and one line here."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.core.errors import DataError
from schemas.data import ExampleKind
from schemas.train import TrainMethod


@dataclass(frozen=True)
class Method:
    """One training method.

    Attributes:
        kinds: the kinds of examples it learns from.
        base_rows: whether it can learn from rows of the base's own tasks, or be held to them.
    """

    name: TrainMethod
    kinds: tuple[ExampleKind, ...]
    base_rows: bool


_METHODS = (
    Method("sft", kinds=("conversation", "text"), base_rows=True),
    Method("dpo", kinds=("preference",), base_rows=False),
)

METHODS: dict[TrainMethod, Method] = {method.name: method for method in _METHODS}
"""Every method by name."""


def check_kind(method: TrainMethod, kind: ExampleKind, source: str) -> None:
    """Refuse data that a method cannot learn from.

    Raises:
        DataError: ``kind`` is none of the method's kinds; the fix names the methods that take it.
    """
    if kind in METHODS[method].kinds:
        return
    others = [name for name, other in METHODS.items() if kind in other.kinds]
    raise DataError(
        f"method {method} learns from {' or '.join(METHODS[method].kinds)} rows, and these are {kind} rows",
        where=source,
        fix=f"set train.method to {' or '.join(others)}, or give other data",
    )
