"""Making findings: one place that counts rows, shortens their list and knows when a policy makes a warning an error."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator
from typing import TypeVar

from schemas.data import Split
from schemas.faults import FAULTS, FaultCode
from schemas.preflight import Finding

NAMED = 10
"""Row numbers that a finding keeps."""

K = TypeVar("K", bound=Hashable)


def finding(
    code: FaultCode,
    split: Split | None = None,
    rows: Iterable[int] = (),
    *,
    count: int | None = None,
    detail: str = "",
    done: str = "",
    stops: bool = False,
) -> Finding:
    """Return a finding of a class; ``stops``: the policy of the class makes it an error.

    ``count`` is the number of what is counted where that is not rows.
    """
    numbers = sorted(set(rows))
    return Finding(
        code=code,
        severity="error" if stops else FAULTS[code].severity,
        split=split,
        count=len(numbers) if count is None else count,
        rows=tuple(numbers[:NAMED]),
        detail=detail,
        done="" if stops else done,
    )


def grouped(pairs: Iterable[tuple[K, int]]) -> Iterator[tuple[K, list[int]]]:
    """Yield the row numbers of each key, keys in order of first appearance."""
    rows: dict[K, list[int]] = defaultdict(list)
    for key, row in pairs:
        rows[key].append(row)
    yield from rows.items()
