"""From item scores to the units that are resampled: items, or clusters of items that are not independent.

Every formula of this package that knows clusters works on one pair of arrays, ``(sums, sizes)`` with one entry
per unit: the mean over items is then the ratio ``sums.sum() / sizes.sum()`` (a ratio estimator, because the
number of items in a resample of clusters varies; Cochran, Sampling Techniques, 3rd ed., 1977, ch. 6 and 9A).
Without clusters each item is a unit of size 1.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from pipeline.core.errors import ConfigError, DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Scores: TypeAlias = Sequence[float] | NDArray[Any]
    Floats: TypeAlias = NDArray[np.float64]
    Integers: TypeAlias = NDArray[np.int64]

Clusters: TypeAlias = Sequence[Hashable]


def as_scores(values: Scores, *, what: str = "scores") -> Floats:
    """Return ``values`` as a float64 vector of shape (n,).

    Raises:
        DataError: no values, more than one dimension, or a value that is not finite (its row is named).
    """
    import numpy as np

    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise DataError(f"{what} have {array.ndim} dimensions", fix="pass one score per item")
    if array.size == 0:
        raise DataError(f"there are no {what}", fix="pass at least one item")
    if not np.isfinite(array).all():
        row = int(np.flatnonzero(~np.isfinite(array))[0])
        raise DataError(f"{what}: item {row} is {array[row]}", fix="score every item with a finite number")
    return array


def as_pair(candidate: Scores, baseline: Scores) -> tuple[Floats, Floats]:
    """Return two score vectors of the same items, both of shape (n,).

    Raises:
        DataError: as ``as_scores``, or the lengths differ.
    """
    first, second = as_scores(candidate, what="candidate scores"), as_scores(baseline, what="baseline scores")
    if first.size != second.size:
        raise DataError(
            f"{first.size} candidate scores and {second.size} baseline scores",
            fix="score both on the same items, in the same order",
        )
    return first, second


def is_binary(*arrays: Floats) -> bool:
    """Tell whether every score is exactly 0 or 1."""
    return all(bool(((array == 0.0) | (array == 1.0)).all()) for array in arrays)


def cluster_index(clusters: Clusters | None, n: int) -> Integers | None:
    """Return for each of ``n`` items the number of its cluster (0, 1, ... in order of first appearance).

    None when no ids are given, and also when every cluster holds one item: then the items are independent.

    Raises:
        DataError: not one id per item, or all items in one cluster (nothing could be resampled).
    """
    import numpy as np

    if clusters is None:
        return None
    if len(clusters) != n:
        raise DataError(f"{len(clusters)} cluster ids for {n} items", fix="pass one cluster id per item")
    numbers: dict[Hashable, int] = {}
    index = [numbers.setdefault(cluster, len(numbers)) for cluster in clusters]
    if len(numbers) == n:
        return None
    if len(numbers) == 1:
        raise DataError(f"all {n} items are in one cluster", fix="measure on items from at least two clusters")
    return np.asarray(index, dtype=np.int64)


def unit_sums(values: Floats, index: Integers | None) -> tuple[Floats, Floats]:
    """Return (sums, sizes), each of shape (units,): the total and the number of items of every unit."""
    import numpy as np

    if index is None:
        return values, np.ones_like(values)
    return np.bincount(index, weights=values).astype(np.float64), np.bincount(index).astype(np.float64)


def ratio_residuals(sums: Floats, sizes: Floats) -> Floats:
    """Return by how much each unit's sum departs from the mean of all items times its size."""
    residuals: Floats = sums - sums.sum() / sizes.sum() * sizes
    return residuals


def ratio_standard_error(sums: Floats, sizes: Floats) -> float:
    """Return the linearized standard error of ``sums.sum() / sizes.sum()`` (Cochran 1977, ch. 6).

    With sizes of 1 it is the usual standard error of a mean, s / sqrt(n). Needs at least two units.
    """
    import numpy as np

    units = sums.size
    residuals = ratio_residuals(sums, sizes)
    variance = units / (units - 1) * float(residuals @ residuals) / float(sizes.sum()) ** 2
    return float(np.sqrt(variance))


def effective_units(sizes: Floats) -> float:
    """Return how many units of equal size are worth as much as these, (sum of sizes)^2 / sum of squared sizes.

    Kish, Survey Sampling (1965), section 11.7. It is the number of units where all are of one size, and near 1 where
    one of them holds nearly all items.
    """
    return float(sizes.sum() ** 2 / (sizes @ sizes))


def degrees_of_freedom(sizes: Floats) -> float:
    """Return the degrees of freedom of a variance over units: `effective_units` minus 1, at least one half."""
    return max(0.5, effective_units(sizes) - 1)


def check_rate(value: float, name: str) -> None:
    """Refuse a probability such as ``alpha`` or ``power`` that is not strictly between 0 and 1.

    Raises:
        ConfigError: it is not.
    """
    if not 0.0 < value < 1.0:
        raise ConfigError(f"{value} is not a probability", where=name, fix="give a number between 0 and 1")


def check_resamples(resamples: int, alpha: float) -> None:
    """Refuse an ``alpha`` out of range, and a number of resamples too small to reach its tails.

    Raises:
        ConfigError: ``resamples`` is under 4 / alpha, so that a tail of alpha / 2 would hold under two of them.
    """
    check_rate(alpha, "alpha")
    if resamples * alpha < 4:
        raise ConfigError(
            f"{resamples} resamples cannot show an interval or test at alpha {alpha}",
            where="resamples",
            fix="10,000 is the usual number",
        )
