"""Is a part of the items worse than the rest? A difference of two means over items that may share clusters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.core.errors import DataError
from pipeline.statistics.exchange import exchange_p_value
from pipeline.statistics.units import as_scores, cluster_index

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.statistics.units import Clusters, Floats, Integers, Scores


_ROUNDING = 1e-12
"""Below this two means differ by how they were added up."""


@dataclass(frozen=True)
class Contrast:
    """The mean inside a part minus that of the rest, with its two-sided interval and p-value."""

    difference: float
    low: float
    high: float
    p_value: float


def contrast(scores: Scores, inside: Sequence[bool], *, clusters: Clusters | None, alpha: float = 0.05) -> Contrast:
    """Compare the items of a part with the others.

    The difference of two ratio means is linearized: item i counts (s_i - m) / n of its side, with the sign of the side,
    and the sums over clusters are the units (Liang & Zeger, Biometrika 73(1), 1986, with the factor G / (G - 1) of the
    number G of clusters). Referred to Student's t with G - 1 degrees of freedom. A cluster may lie on both sides.

    That is the interval; the test is by exchange where no cluster lies on both sides: if the part is like the rest, the
    marks may be dealt to the clusters anew (`pipeline.statistics.exchange`). Else it is the score test (Boos, The
    American Statistician 46(4), 1992), whose variance is that under the null, with the mean m of all items: sums over
    clusters of (x_i - x) (s_i - m), x_i telling the sides. The interval's variance knows nothing of a side of one
    cluster, which agrees with itself, and would find it different from anything. Where the test does not reject, the
    interval is extended to 0.

    Args:
        scores: of all items.
        inside: which of them are of the part; one at least on either side.
        clusters: one id per item, or None where items are independent.
        alpha: of the interval.

    Raises:
        DataError: unequal lengths, a side without items, or a single cluster.
    """
    import numpy as np
    from scipy.stats import t

    values, part = as_scores(scores), np.asarray(inside, dtype=bool)
    if part.shape != values.shape:
        raise DataError(f"{values.size} scores and {part.size} marks", fix="mark every item")
    if not part.any() or part.all():
        raise DataError("one side has no items", fix="compare a part with a rest")
    index = cluster_index(clusters, values.size)
    units = np.arange(values.size) if index is None else index
    count = int(units.max()) + 1
    if count < 2:
        raise DataError("all items are one cluster", fix="compare over several")
    means = [values[side].mean() for side in (part, ~part)]
    shares = np.where(part, (values - means[0]) / part.sum(), -(values - means[1]) / (~part).sum())
    difference = float(means[0] - means[1])
    half = float(t.isf(alpha / 2, count - 1)) * _error(units, shares, count)
    low, high = max(-1.0, difference - half), min(1.0, difference + half)
    p_value = 1.0 if abs(difference) < _ROUNDING else _p_value(values, part, units, count)
    if p_value > alpha:
        low, high = min(low, 0.0), max(high, 0.0)
    return Contrast(difference, low, high, p_value)


def _p_value(values: Floats, part: NDArray[np.bool_], units: Integers, count: int) -> float:
    """Return the two-sided p-value that the part is like the rest."""
    import numpy as np
    from scipy.stats import t

    inside = np.bincount(units, weights=part, minlength=count)
    sizes = np.bincount(units, minlength=count)
    if bool(((inside == 0) | (inside == sizes)).all()):
        residuals = np.bincount(units, weights=values - values.mean(), minlength=count)
        return exchange_p_value(residuals.astype(np.float64), inside > 0)
    under_null = (part - part.mean()) * (values - values.mean())
    error = _error(units, under_null, count)
    return 1.0 if error == 0.0 else float(2 * t.sf(abs(float(under_null.sum())) / error, count - 1))


def _error(units: Integers, parts: Floats, count: int) -> float:
    """Return the standard error of the sum of ``parts``, one per item, over independent units."""
    import numpy as np

    sums = np.bincount(units, weights=parts, minlength=count)
    return float(np.sqrt(count / (count - 1) * (sums**2).sum()))
