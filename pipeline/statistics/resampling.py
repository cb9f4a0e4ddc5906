"""Seeded bootstrap draws, in chunks so that memory stays near 100 MB whatever the number of resamples.

Source: Efron & Tibshirani, An Introduction to the Bootstrap (1993), ch. 6; clusters are drawn whole and with
replacement (Davison & Hinkley, Bootstrap Methods and their Application (1997), section 3.8, strategy 1).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeAlias

from pipeline.core.errors import DataError

if TYPE_CHECKING:
    from pipeline.statistics.units import Floats, Integers

    CountStatistic: TypeAlias = Callable[[Integers], Floats]

_CELLS_PER_CHUNK = 2_000_000
_MOST_CELLS_BY_MULTINOMIAL = 100


def chunk_sizes(rows: int, columns: int) -> Iterator[int]:
    """Yield numbers of rows that add up to ``rows``, each chunk of at most 2 million cells (or one row)."""
    step = max(1, _CELLS_PER_CHUNK // max(1, columns))
    for start in range(0, rows, step):
        yield min(step, rows - start)


def resampled_ratios(sums: Floats, sizes: Floats, *, seed: int, resamples: int) -> Floats:
    """Return ``resamples`` bootstrap values of ``sums.sum() / sizes.sum()``, units drawn with replacement.

    Units with equal (sum, size) are interchangeable, so where few distinct pairs exist (0/1 scores) only the
    number of times that each pair is drawn is drawn, which is multinomial: the same distribution at a
    hundredth of the cost.
    """
    import numpy as np

    generator = np.random.default_rng(seed)
    units = sums.size
    pairs, counts = np.unique(np.column_stack([sums, sizes]), axis=0, return_counts=True)
    if len(pairs) <= _MOST_CELLS_BY_MULTINOMIAL:
        totals = generator.multinomial(units, counts / units, size=resamples) @ pairs
        return np.asarray(totals[:, 0] / totals[:, 1])
    chunks = []
    for rows in chunk_sizes(resamples, units):
        drawn = generator.integers(0, units, size=(rows, units))
        chunks.append(sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1))
    return np.concatenate(chunks)


def count_matrices(n: int, index: Integers | None, *, seed: int, resamples: int) -> Iterator[Integers]:
    """Yield matrices of shape (rows, n), ``resamples`` rows in all: how often each item is in a resample.

    A resample is given as counts because resamples of whole clusters differ in length. Items of one cluster
    (``index`` from ``cluster_index``) have equal counts.
    """
    import numpy as np

    generator = np.random.default_rng(seed)
    units = n if index is None else int(index.max()) + 1
    for rows in chunk_sizes(resamples, n):
        drawn = generator.integers(0, units, size=(rows, units))
        drawn += np.arange(rows)[:, None] * units
        counts = np.bincount(drawn.ravel(), minlength=rows * units).reshape(rows, units)
        yield counts if index is None else counts[:, index]


def evaluate_statistic(statistic: CountStatistic, counts: Integers) -> Floats:
    """Return ``statistic(counts)`` as a float64 vector of shape (rows,).

    Raises:
        DataError: it returned another shape, or a value that is not finite.
    """
    import numpy as np

    values = np.asarray(statistic(counts), dtype=np.float64)
    if values.shape != (counts.shape[0],):
        raise DataError(
            f"the statistic returned shape {values.shape} for {counts.shape[0]} resamples",
            fix="return one value per row of the count matrix",
        )
    if not np.isfinite(values).all():
        raise DataError("the statistic is not finite on some resample", fix="define it for every non-empty resample")
    return values
