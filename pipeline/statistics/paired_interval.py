"""Intervals for the difference of two models that were scored right or wrong on the same items.

A bootstrap will not do: where the two differ on no item, or on every item, it has no width, and where they differ on
few it may exclude 0 although the exact test does not reject. These have a width always, and the first excludes 0
exactly where McNemar's exact test rejects.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.statistics.units import degrees_of_freedom, ratio_standard_error

if TYPE_CHECKING:
    from pipeline.statistics.units import Floats

DISCORDANT = "exact binomial x Wilson of the discordant items"
ADJUSTED_WALD = "adjusted Wald (Bonett-Price)"

_SPLITS = 181


def discordant_limits(only_candidate: int, only_baseline: int, n: int, *, alpha: float) -> tuple[float, float]:
    """Return the two-sided limits of the difference (b - c) / n of independent items.

    The difference is the share of discordant items (Wilson's limits) times 2 q - 1, where q is the candidate's share of
    them (Clopper & Pearson, Biometrika 26(4), 1934: the inverse of McNemar's exact test); the likelihood is the product
    of both. They are combined by PropImp (Newcombe, Propagating Imprecision: Combining Confidence Intervals from
    Independent Sources, Communications in Statistics - Theory and Methods 40(17), 2011): of all ways to split z^2
    between the two, the widest limits count. Deviation: the ways are a grid of half degrees.
    """
    import numpy as np
    from scipy.stats import beta, norm

    z = float(norm.isf(alpha / 2))
    angles = np.linspace(0.0, np.pi / 2, _SPLITS)
    discordant = only_candidate + only_baseline
    least, most = _wilson(discordant / n, n, z * np.cos(angles))
    tail = norm.sf(z * np.sin(angles))
    low = beta.ppf(tail, only_candidate, only_baseline + 1) if only_candidate else np.zeros(_SPLITS)
    high = beta.isf(tail, only_candidate + 1, only_baseline) if only_baseline else np.ones(_SPLITS)
    worst, best = 2 * low - 1, 2 * high - 1
    return (
        float(np.where(worst < 0, most * worst, least * worst).min()),
        float(np.where(best > 0, most * best, least * best).max()),
    )


def _wilson(share: float, n: int, z: Floats) -> tuple[Floats, Floats]:
    """Return Wilson's limits, each of the shape of ``z``; see `pipeline.statistics.intervals.wilson_limits`."""
    import numpy as np

    scale = 1 + z * z / n
    center = (share + z * z / (2 * n)) / scale
    half = z / scale * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return np.clip(center - half, 0.0, share), np.clip(center + half, share, 1.0)


def adjusted_wald(sums: Floats, sizes: Floats) -> tuple[float, float, float]:
    """Return center, standard error and degrees of freedom for a mean difference of scores in [0, 1], over units.

    Bonett & Price, Adjusted Wald Confidence Interval for a Difference of Binomial Proportions Based on Paired Data,
    Journal of Educational and Behavioral Statistics 37(4), 2012: one item won and one item lost are added before the
    Wald interval. Deviations: with clusters a cluster is won and one lost, of the size in which the average item finds
    itself (sum of squared sizes / sum of sizes), and the standard error is that of a ratio over clusters; the sample
    variance has k - 1 in its denominator; t quantiles of `units.degrees_of_freedom` replace normal ones; graded scores
    take the same formula, which is then conservative.
    """
    import numpy as np

    size = float(sizes @ sizes / sizes.sum())
    padded_sums = np.concatenate([sums, [size, -size]])
    padded_sizes = np.concatenate([sizes, [size, size]])
    center = float(padded_sums.sum() / padded_sizes.sum())
    return center, ratio_standard_error(padded_sums, padded_sizes), degrees_of_freedom(sizes)


def adjusted_wald_limits(sums: Floats, sizes: Floats, *, alpha: float) -> tuple[float, float]:
    """Return the two-sided limits of `adjusted_wald`, which contain the observed difference."""
    from scipy.stats import t

    center, error, freedom = adjusted_wald(sums, sizes)
    half = float(t.isf(alpha / 2, freedom)) * error
    observed = float(sums.sum() / sizes.sum())
    return max(-1.0, min(observed, center - half)), min(1.0, max(observed, center + half))
