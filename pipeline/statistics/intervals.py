"""Confidence intervals for one score: Wilson for proportions, bootstrap for means and any other statistic.

Where a bootstrap rests on a few units, or the statistic is no mean, what lies between known bounds has the wider of its
limits and those of `pipeline.statistics.bounded`.

Bootstrap limits are *expanded percentiles* (Hesterberg, What Teachers Should Know About the Bootstrap, The
American Statistician 69(4), 2015, pp. 371-386): with k units plain percentiles are too narrow by
sqrt((k - 1) / k) and by the lighter tails of the normal, which matters for the few dozen clusters of a small
test split. BCa repairs the skewness of the interval but not its width.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pipeline.core.errors import DataError
from pipeline.statistics.bounded import is_thin, mean_variance, score_limits, shrinkage, wider, wilson_limits
from pipeline.statistics.resampling import count_matrices, evaluate_statistic, resampled_ratios
from pipeline.statistics.units import (
    as_scores,
    check_rate,
    check_resamples,
    cluster_index,
    degrees_of_freedom,
    effective_units,
    is_binary,
    ratio_standard_error,
    unit_sums,
)

if TYPE_CHECKING:
    from pipeline.statistics.resampling import CountStatistic
    from pipeline.statistics.units import Clusters, Floats, Integers, Scores


@dataclass(frozen=True)
class Interval:
    """An estimate with its two-sided interval of confidence 1 - alpha.

    ``n`` is the number of items, ``clusters`` the number of distinct cluster ids (None: none were given).
    """

    estimate: float
    low: float
    high: float
    alpha: float
    n: int
    clusters: int | None
    method: str


def wilson_interval(successes: int, n: int, *, alpha: float = 0.05) -> Interval:
    """Return the Wilson interval for ``successes`` of ``n`` independent items.

    Raises:
        DataError: ``n`` is not positive, or ``successes`` is not between 0 and ``n``.
        ConfigError: ``alpha`` is not between 0 and 1.
    """
    check_rate(alpha, "alpha")
    if n <= 0 or not 0 <= successes <= n:
        raise DataError(f"{successes} successes of {n} items", fix="give 0 <= successes <= n, with at least one item")
    low, high = wilson_limits(successes / n, n, alpha=alpha)
    return Interval(successes / n, low, high, alpha, int(n), None, "Wilson")


def score_interval(
    scores: Scores,
    *,
    clusters: Clusters | None = None,
    alpha: float = 0.05,
    seed: int = 0,
    resamples: int = 10_000,
) -> Interval:
    """Return the interval for the mean of ``scores``, one per item, by the method that fits them.

    0/1 scores get Wilson's interval, with clusters at the effective number of items; graded scores the bootstrap of
    ``bootstrap_mean_interval``, and in [0, 1], where all but a few have the same score (`bounded.is_thin`), the wider
    of that and of `pipeline.statistics.bounded.score_limits`. ``clusters`` names each item's cluster.

    Raises:
        DataError: no scores, a score that is not finite, not one cluster id per item, or only one cluster.
        ConfigError: ``alpha`` or ``resamples`` out of range.
    """
    values = as_scores(scores)
    index = cluster_index(clusters, values.size)
    if not is_binary(values):
        interval = bootstrap_mean_interval(values, clusters=clusters, alpha=alpha, seed=seed, resamples=resamples)
        sums, sizes = unit_sums(values, index)
        bounded = values.min() >= 0.0 and values.max() <= 1.0 and is_thin(sums, sizes)
        bounds = (0.0, 1.0) if bounded else None
        return _within(interval, mean_variance(sums, sizes), effective_units(sizes), bounds)
    if index is None:
        interval = wilson_interval(int(values.sum()), values.size, alpha=alpha)
        return replace(interval, clusters=_count(clusters))
    check_rate(alpha, "alpha")
    proportion = float(values.mean())
    low, high = wilson_limits(proportion, effective_size(values, index, alpha=alpha), alpha=alpha)
    return Interval(
        proportion, low, high, alpha, values.size, _count(clusters), "Wilson at the effective number of items"
    )


def effective_size(values: Floats, index: Integers, *, alpha: float) -> float:
    """Return how many independent items carry the information of these 0/1 ``values`` in clusters.

    n / design effect (Rao & Scott, A Simple Method for the Analysis of Clustered Binary Data, Biometrics
    48(2), 1992), times (z / t)^2 for the degrees of freedom that few clusters leave (Korn & Graubard,
    Survey Methodology 24(2), 1998). Deviations: a design effect below 1 counts as 1, and where all
    values are equal, so that it cannot be estimated, each cluster counts as one item.
    """
    sums, sizes = unit_sums(values, index)
    proportion, n = float(values.mean()), values.size
    independent = proportion * (1 - proportion) / n
    effect = ratio_standard_error(sums, sizes) ** 2 / independent if independent > 0 else n / effective_units(sizes)
    return n / max(1.0, effect) * shrinkage(degrees_of_freedom(sizes), alpha=alpha)


def bootstrap_mean_interval(
    values: Scores,
    *,
    clusters: Clusters | None = None,
    alpha: float = 0.05,
    seed: int = 0,
    resamples: int = 10_000,
) -> Interval:
    """Return the bootstrap interval for the mean over items, whole clusters resampled where they are given.

    Raises:
        DataError: no values, a value that is not finite, not one cluster id per item, or only one cluster.
        ConfigError: ``alpha`` or ``resamples`` out of range.
    """
    check_resamples(resamples, alpha)
    array = as_scores(values)
    sums, sizes = unit_sums(array, cluster_index(clusters, array.size))
    draws = resampled_ratios(sums, sizes, seed=seed, resamples=resamples)
    low, high = expanded_percentiles(draws, sums.size, alpha=alpha)
    method = bootstrap_method(sums.size < array.size)
    return Interval(float(array.mean()), low, high, alpha, array.size, _count(clusters), method)


def bootstrap_interval(
    statistic: CountStatistic,
    n: int,
    *,
    clusters: Clusters | None = None,
    alpha: float = 0.05,
    seed: int = 0,
    resamples: int = 10_000,
    bounds: tuple[float, float] | None = None,
    worth: float | None = None,
) -> Interval:
    """Return the bootstrap interval of any statistic of ``n`` items.

    ``statistic`` takes counts of shape (rows, n), how often each resample holds each item, and returns one value
    per row; its estimate is its value where every count is 1. Within ``bounds``, the least and the largest value that
    there can be, the limits of `pipeline.statistics.bounded.score_limits` are taken where they are wider; ``worth`` is
    the number of equally weighted items that the items are worth to the statistic (``n`` by default).

    Raises:
        DataError: ``n`` is not positive, the statistic returns another shape or a value that is not finite,
            not one cluster id per item, or only one cluster.
        ConfigError: ``alpha`` or ``resamples`` out of range.
    """
    import numpy as np

    check_resamples(resamples, alpha)
    if n <= 0:
        raise DataError(f"there are {n} items", fix="pass at least one item")
    index = cluster_index(clusters, n)
    estimate = float(evaluate_statistic(statistic, np.ones((1, n), dtype=np.int64))[0])
    draws = np.concatenate(
        [evaluate_statistic(statistic, counts) for counts in count_matrices(n, index, seed=seed, resamples=resamples)]
    )
    units = n if index is None else int(index.max()) + 1
    low, high = expanded_percentiles(draws, units, alpha=alpha)
    interval = Interval(estimate, low, high, alpha, n, _count(clusters), bootstrap_method(index is not None))
    return _within(interval, float(draws.var()), independent_units(n, index, worth), bounds)


def independent_units(n: int, index: Integers | None, worth: float | None) -> float:
    """Return how many units of equal weight are behind a statistic of ``n`` items, in clusters or not; at least 1."""
    import numpy as np

    sizes = np.ones(n) if index is None else np.bincount(index).astype(np.float64)
    return max(1.0, min(effective_units(sizes), n if worth is None else worth))


def _within(interval: Interval, variance: float, units: float, bounds: tuple[float, float] | None) -> Interval:
    """Return the interval, with the limits of what lies within ``bounds`` where these are wider."""
    if bounds is None:
        return interval
    known = score_limits(interval.estimate, variance, units, bounds=bounds, alpha=interval.alpha)
    low, high = wider((interval.low, interval.high), known)
    return replace(interval, low=low, high=high, method=f"wider of {interval.method} and Wilson")


def expanded_percentiles(draws: Floats, units: int, *, alpha: float) -> tuple[float, float]:
    """Return the percentiles of ``draws`` at alpha' / 2 and 1 - alpha' / 2.

    alpha' / 2 = Phi(-sqrt(k / (k - 1)) t(1 - alpha / 2, k - 1)) for k resampled units (Hesterberg 2015); it
    tends to alpha / 2. One unit has no spread: both limits are then its value.
    """
    import numpy as np
    from scipy.stats import norm, t

    if units < 2:
        return float(draws.min()), float(draws.max())
    tail = float(norm.cdf(-((units / (units - 1)) ** 0.5) * t.isf(alpha / 2, units - 1)))
    low, high = np.quantile(draws, [tail, 1 - tail])
    return float(low), float(high)


def bootstrap_method(clustered: bool) -> str:
    """Return the name of the interval as reports print it."""
    return f"{'cluster ' if clustered else ''}bootstrap, expanded percentile"


def _count(clusters: Clusters | None) -> int | None:
    return None if clusters is None else len(set(clusters))
