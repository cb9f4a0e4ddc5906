"""Intervals of sums of absolute values, such as a calibration error: a bootstrap of the sum itself does not cover it.

Noise makes each absolute value larger and never smaller, and resampling adds noise to noise: the sum's own bootstrap
lies above the truth, the more so the nearer that is to 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipeline.core.errors import DataError
from pipeline.statistics.intervals import Interval
from pipeline.statistics.paired_interval import adjusted_wald_limits
from pipeline.statistics.resampling import chunk_sizes, count_matrices
from pipeline.statistics.units import as_scores, check_resamples, cluster_index, unit_sums

if TYPE_CHECKING:
    from pipeline.statistics.units import Clusters, Floats, Integers, Scores

METHOD = "bootstrap of the deviations (conservative)"


def absolute_sum_interval(
    values: Scores,
    parts: Sequence[Integers],
    *,
    expected: Scores | None = None,
    clusters: Clusters | None = None,
    alpha: float = 0.05,
    seed: int = 0,
    resamples: int = 10_000,
) -> Interval:
    """Return the interval of sum over parts of |sum of the part's values| / n.

    With g_b a part's share of the mean and G_b its true one, | sum |G_b| - sum |g_b| | is at most D = sum |G_b - g_b|
    by the triangle inequality, so the estimate with the 1 - ``alpha`` quantile of D on either side covers with that
    probability at least. The quantile is that of the bootstrap's D (Efron & Tibshirani, An Introduction to the
    Bootstrap, 1993, ch. 6 and 8), over clusters where there are some. It knows nothing of what was not seen, such as
    the one answer in fifty that a sure model gets wrong. So D is at least the distance from the mean of all values to
    the farther end of its adjusted Wald interval (`pipeline.statistics.paired_interval`), and at least the quantile of
    D where the items have the rates that are ``expected`` of them. Cut at 0 and 1.

    Args:
        values: one per item, in [-1, 1].
        parts: the places of the items of each part, which do not overlap.
        expected: of values that are an outcome of 0 or 1 minus its expected rate: that rate, one per item.
        clusters: one id per item, or None where items are independent.
        alpha: the interval's confidence is 1 - ``alpha``.
        seed: of the resamples.
        resamples: how many.

    Raises:
        DataError: not one cluster id per item, or a single item or cluster.
        ConfigError: ``alpha`` or ``resamples`` out of range.
    """
    import numpy as np

    check_resamples(resamples, alpha)
    gaps = as_scores(values)
    index = cluster_index(clusters, gaps.size)
    units = gaps.size if index is None else int(index.max()) + 1
    if units < 2:
        raise DataError("one independent item has no interval", fix="give items of several clusters")
    shares = [float(gaps[part].sum()) / gaps.size for part in parts]
    drawn = _resampled(gaps, parts, shares, index, seed, resamples)
    mean = float(gaps.mean())
    low, high = adjusted_wald_limits(*unit_sums(gaps, index), alpha=alpha)
    room = max(float(np.quantile(drawn, 1 - alpha)), mean - low, high - mean)
    if expected is not None:
        by_chance = _by_chance(as_scores(expected), parts, index, seed, resamples)
        room = max(room, float(np.quantile(by_chance, 1 - alpha)))
    estimate = float(sum(abs(share) for share in shares))
    return Interval(
        estimate=estimate,
        low=max(0.0, estimate - room),
        high=min(1.0, estimate + room),
        alpha=alpha,
        n=gaps.size,
        clusters=None if index is None else units,
        method=METHOD,
    )


def _resampled(
    gaps: Floats, parts: Sequence[Integers], shares: Sequence[float], index: Integers | None, seed: int, resamples: int
) -> Floats:
    """Return D of each resample."""
    import numpy as np

    deviations = []
    for counts in count_matrices(gaps.size, index, seed=seed, resamples=resamples):
        total = counts.sum(axis=1)
        pairs = zip(parts, shares, strict=True)
        moved = [np.abs(counts[:, part] @ gaps[part] / total - share) for part, share in pairs]
        deviations.append(np.sum(moved, axis=0))
    return np.concatenate(deviations)


def _by_chance(rates: Floats, parts: Sequence[Integers], index: Integers | None, seed: int, resamples: int) -> Floats:
    """Return D of outcomes drawn at their rates, those of one cluster together."""
    import numpy as np

    generator = np.random.default_rng(seed)
    units = rates.size if index is None else int(index.max()) + 1
    deviations = []
    for rows in chunk_sizes(resamples, rates.size):
        drawn = generator.random((rows, units))
        outcomes = (drawn if index is None else drawn[:, index]) < rates
        moved = [np.abs((outcomes[:, part] - rates[part]).sum(axis=1)) / rates.size for part in parts]
        deviations.append(np.sum(moved, axis=0))
    return np.concatenate(deviations)
