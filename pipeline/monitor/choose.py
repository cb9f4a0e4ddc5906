"""Which rows a comparison takes: the newest window, a reference, and the windows between them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import islice

from pipeline.core.errors import DataError
from pipeline.monitor.rows import Row
from schemas.monitor import MonitorConfig


@dataclass(frozen=True)
class Chosen:
    """Rows to compare: ``past`` are earlier windows, the oldest first, none of which overlaps another."""

    reference: Sequence[Row]
    current: Sequence[Row]
    past: tuple[Sequence[Row], ...]


def choose_rows(
    rows: Iterable[Row], config: MonitorConfig, *, history: int, evaluated: Sequence[Row] | None = None
) -> Chosen:
    """Return what is compared of a version's rows, which come the oldest first.

    The reference is the first ``reference_rows``, or as many of the ``evaluated`` ones. Of what follows the last
    ``window`` rows are current, and up to ``history`` windows before them are past.

    Raises:
        DataError: there are too few.
    """
    remaining = iter(rows)
    if evaluated is None:
        reference = list(islice(remaining, config.reference_rows))
    else:
        reference = sorted(evaluated, key=lambda row: _draw(row, config.seed))[: config.reference_rows]
    latest = deque(remaining, maxlen=config.window * (1 + history))
    if len(latest) < config.window:
        found = len(latest) + (len(reference) if evaluated is None else 0)
        needed = config.window + (config.reference_rows if evaluated is None else 0)
        raise DataError(
            f"{found:,} answers are captured; {needed:,} are needed",
            where="captured answers",
            fix="wait for more, or take a smaller --window and --reference-rows",
        )
    ordered = list(latest)
    starts = range(len(ordered) - config.window, -1, -config.window)
    current, *past = [ordered[start : start + config.window] for start in starts]
    return Chosen(reference, current, tuple(reversed(past)))


def _draw(row: Row, seed: int) -> bytes:
    """Return where a row stands in an order that is random, and the same for the same rows in any order."""
    return blake2b(f"{seed}\0{row.id}".encode(), digest_size=8).digest()
