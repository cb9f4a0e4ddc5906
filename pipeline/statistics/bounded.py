"""Limits of what lies between known bounds, where a bootstrap shows too little or nothing.

Where every item has the same score a bootstrap has no width, and where all but a few do it is too narrow on the side
of those few. What is here has a width always and knows the bounds. Everything starts from an estimate, its variance
and the number of independent units behind it, so that it holds for a mean of items as well as for macro-F1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.statistics.units import ratio_residuals

if TYPE_CHECKING:
    from pipeline.statistics.units import Floats


ENOUGH = 30
"""Units that depart from the most frequent value, from which on a bootstrap of a mean knows how they vary."""


def is_thin(sums: Floats, sizes: Floats) -> bool:
    """Return whether all units but a few have one value, so that a bootstrap of their mean rests on those few alone."""
    import numpy as np

    _, counts = np.unique(np.round(sums / sizes, 9), return_counts=True)
    return bool(sums.size - counts.max() < ENOUGH)


def wilson_limits(proportion: float, n: float, *, alpha: float) -> tuple[float, float]:
    """Return Wilson's score limits for an observed ``proportion`` of ``n`` (possibly effective) items.

    Source: Wilson, Probable Inference, the Law of Succession, and Statistical Inference, JASA 22(158), 1927;
    without continuity correction, as recommended by Brown, Cai & DasGupta, Statistical Science 16(2), 2001.
    """
    from scipy.stats import norm

    z = float(norm.isf(alpha / 2))
    center = (proportion + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * (proportion * (1 - proportion) / n + z * z / (4 * n * n)) ** 0.5
    # At 0 and 1 the limit equals the proportion; rounding must not move it past.
    return min(proportion, max(0.0, center - half)), max(proportion, min(1.0, center + half))


def shrinkage(freedom: float, *, alpha: float) -> float:
    """Return (z / t)^2, by which few degrees of freedom shrink an effective number of items.

    Korn & Graubard, Confidence Intervals for Proportions with Small Expected Number of Positive Counts Estimated from
    Survey Data, Survey Methodology 24(2), 1998.
    """
    from scipy.stats import norm, t

    return float(norm.isf(alpha / 2) / t.isf(alpha / 2, freedom)) ** 2


def mean_variance(sums: Floats, sizes: Floats) -> float:
    """Return the variance of ``sums.sum() / sizes.sum()`` over units, as a bootstrap of many resamples shows it."""
    residuals = ratio_residuals(sums, sizes)
    return float(residuals @ residuals) / float(sizes.sum()) ** 2


def padded_variance(estimate: float, variance: float, units: float, pads: tuple[float, float]) -> tuple[float, float]:
    """Return estimate and variance with two units added, of the scores ``pads`` (Agresti & Coull's idea).

    Agresti & Caffo, Simple and Effective Confidence Intervals for Proportions and Differences of Proportions, The
    American Statistician 54(4), 2000: what was not seen in a small sample may still be. The sum of squares over
    ``units`` of equal weight is ``variance`` units^2, to which come the squares of the pads and of the shift.
    """
    total = units + 2
    center = (units * estimate + sum(pads)) / total
    squares = variance * units**2 + units * (estimate - center) ** 2 + sum((pad - center) ** 2 for pad in pads)
    return center, squares / total**2


def effective_number(share: float, variance: float, units: float) -> float:
    """Return how many items of 0 and 1 have the ``variance`` of ``share``, a mean in [0, 1] of ``units``.

    Both are taken with a unit of 0 and one of 1 added; it is ``units`` for 0/1 items, and more for scores that lie
    closer together.
    """
    center, wider = padded_variance(share, variance, units, (0.0, 1.0))
    return center * (1 - center) / wider * units / (units + 2)


def score_limits(
    value: float, variance: float, units: float, *, bounds: tuple[float, float], alpha: float
) -> tuple[float, float]:
    """Return Wilson's limits of a value within ``bounds``, at its `effective_number` of items.

    Args:
        value: the estimate.
        variance: its own, not that of an item.
        units: independent items behind it, at least 1; `shrinkage` takes units - 1 degrees of freedom.
        bounds: the least and the largest value there can be.
        alpha: the interval's confidence is 1 - ``alpha``.
    """
    least, most = bounds
    span = most - least
    share = min(1.0, max(0.0, (value - least) / span))
    n = effective_number(share, variance / span**2, units) * shrinkage(max(0.5, units - 1), alpha=alpha)
    low, high = wilson_limits(share, n, alpha=alpha)
    return least + span * low, least + span * high


def difference_limits(
    difference: float, variance: float, units: float, *, span: float, alpha: float
) -> tuple[float, float]:
    """Return Wald limits of a difference in [-``span``, ``span``] with a unit won and a unit lost added.

    `pipeline.statistics.paired_interval.adjusted_wald` for what is no mean of items; see there.
    """
    from scipy.stats import t

    center, wider = padded_variance(difference / span, variance / span**2, units, (-1.0, 1.0))
    half = float(t.isf(alpha / 2, max(0.5, units - 1))) * (wider * (units + 2) / (units + 1)) ** 0.5
    low, high = span * (center - half), span * (center + half)
    return max(-span, min(difference, low)), min(span, max(difference, high))


def wider(*limits: tuple[float, float]) -> tuple[float, float]:
    """Return the least and the largest of some limits."""
    return min(low for low, _ in limits), max(high for _, high in limits)
