"""Two windows side by side: what a detector reads of both, and which items are not independent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from pipeline.monitor.rows import Row
from pipeline.statistics.two_sample import unit_part

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

T = TypeVar("T")


def text_of_input(row: Row) -> str | None:
    """Return an input that has words."""
    return row.input if row.input and row.input.strip() else None


class Embedder(Protocol):
    """Makes texts into vectors of length 1 whose inner product says how alike they are."""

    @property
    def name(self) -> str:
        """What it is called in a report."""

    def embed(self, texts: Sequence[str]) -> Any:
        """Return an array or a sparse matrix of shape (texts, dimensions)."""


@dataclass(frozen=True)
class Items(Generic[T]):
    """The values that both windows have of one thing, the reference's first.

    Attributes:
        values: one for each item.
        second: shape (items,): whether it is the current window's.
        units: shape (items,): numbers of the units, 0 up to the last; no unit is in both windows.
    """

    values: tuple[T, ...]
    second: NDArray[np.bool_]
    units: NDArray[np.int64]

    @property
    def counts(self) -> tuple[int, int]:
        """Items of the reference and of the current window."""
        current = int(self.second.sum())
        return len(self.values) - current, current

    @cached_property
    def part(self) -> NDArray[np.bool_]:
        """Which units are the current window's, shape (units,)."""
        return unit_part(self.second, self.units)

    def sum_by_unit(self, matrix: Any) -> NDArray[np.float32]:
        """Return sums over each unit's rows of a matrix of shape (items, columns), as (units, columns)."""
        import numpy as np
        from scipy.sparse import csr_matrix

        ones = np.ones(len(self.values), dtype=np.float32)
        joins = csr_matrix((ones, (self.units, np.arange(len(self.values)))))
        summed = joins @ matrix
        return np.asarray(summed.toarray() if hasattr(summed, "toarray") else summed, dtype=np.float32)

    @cached_property
    def sizes(self) -> NDArray[np.float32]:
        """How many items each unit has, shape (units,)."""
        import numpy as np

        return np.bincount(self.units).astype(np.float32)


@dataclass(frozen=True)
class Windows:
    """A reference window and the current one.

    Args:
        reference: rows of the past, in any order.
        current: rows of now.
        embedder: for texts.
        seed: of permutations and splits.
    """

    reference: Sequence[Row]
    current: Sequence[Row]
    embedder: Embedder
    seed: int = 0

    def items(self, read: Callable[[Row], T | None]) -> Items[T]:
        """Return what ``read`` finds in each row, without the rows in which it finds None."""
        import numpy as np

        values: list[T] = []
        seconds: list[bool] = []
        units: list[int] = []
        numbers: dict[tuple[bool, str], int] = {}
        for second, rows in ((False, self.reference), (True, self.current)):
            for place, row in enumerate(rows):
                value = read(row)
                if value is None:
                    continue
                values.append(value)
                seconds.append(second)
                unit = f"row {place}" if row.unit is None else f"unit {row.unit}"
                units.append(numbers.setdefault((second, unit), len(numbers)))
        return Items(tuple(values), np.asarray(seconds, dtype=np.bool_), np.asarray(units, dtype=np.int64))

    @cached_property
    def texts(self) -> Items[str]:
        """The inputs that have words."""
        return self.items(text_of_input)

    @cached_property
    def vectors(self) -> Any:
        """The embedded `texts`, shape (items, dimensions)."""
        return self.embedder.embed(self.texts.values)
