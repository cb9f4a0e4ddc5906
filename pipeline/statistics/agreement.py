"""Agreement of raters beyond chance: Cohen's kappa for two, Fleiss' kappa for more, each with its interval.

Every coefficient of this package is 1 - Do / De, the observed disagreement over the one that chance would give; where
all ratings are one category, De is 0 and there is nothing to state (None). Intervals are a bootstrap over items, whole
clusters where they are given (Zapf, Castell, Morawietz & Karch, Measuring inter-rater reliability for nominal data,
BMC Medical Research Methodology 16:93, 2016), of expanded percentiles. Deviations: a resample in which everything is
one category says nothing and is left out; where no two ratings of an item differ, so that a bootstrap has no width, the
lower limit is 1 - u / De with Wilson's upper limit u of the share of clusters in which two ratings differ.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING

from pipeline.core.errors import DataError
from pipeline.statistics.bounded import wilson_limits
from pipeline.statistics.intervals import Interval, bootstrap_method, expanded_percentiles
from pipeline.statistics.resampling import count_matrices
from pipeline.statistics.units import check_resamples, cluster_index

if TYPE_CHECKING:
    from pipeline.statistics.units import Clusters, Floats, Integers

    Disagreement = Callable[[Integers], tuple[Floats, Floats]]
    """From counts of shape (rows, items) to observed and chance disagreement, each of shape (rows,)."""

NO_SPREAD = "none: every resample has the same coefficient"
"""As where one rater used one category alone: kappa is then 0 whatever the other says, and bounds nothing."""

NO_DISAGREEMENT = "Wilson on disagreeing items, none seen"


def cohen_kappa(
    first: Sequence[Hashable],
    second: Sequence[Hashable],
    *,
    clusters: Clusters | None = None,
    alpha: float = 0.05,
    seed: int = 0,
    resamples: int = 10_000,
) -> Interval | None:
    """Return Cohen's kappa of two raters who each rated every item; None where both used one category alone.

    Cohen, A Coefficient of Agreement for Nominal Scales, Educational and Psychological Measurement 20(1), 1960: chance
    agreement is that of two raters who keep their own shares of each category.

    Raises:
        DataError: no items, unequal lengths, or clusters that cannot be resampled.
        ConfigError: ``alpha`` or ``resamples`` out of range.
    """
    import numpy as np

    if len(first) != len(second) or not first:
        raise DataError(
            f"{len(first)} ratings of one rater and {len(second)} of the other", fix="give both ratings of each item"
        )
    places = {value: place for place, value in enumerate(dict.fromkeys([*first, *second]))}
    size = len(places)
    pairs = np.zeros((len(first), size * size))
    pairs[range(len(first)), [places[a] * size + places[b] for a, b in zip(first, second, strict=True)]] = 1.0

    def disagreement(counts: Integers) -> tuple[Floats, Floats]:
        tables = (counts @ pairs).reshape(-1, size, size)
        shares = tables / tables.sum(axis=(1, 2), keepdims=True)
        chance = (shares.sum(axis=2) * shares.sum(axis=1)).sum(axis=1)
        return 1.0 - np.trace(shares, axis1=1, axis2=2), 1.0 - chance

    return beyond_chance(disagreement, len(first), clusters=clusters, alpha=alpha, seed=seed, resamples=resamples)


def fleiss_kappa(
    ratings: Sequence[Sequence[Hashable]],
    *,
    clusters: Clusters | None = None,
    alpha: float = 0.05,
    seed: int = 0,
    resamples: int = 10_000,
) -> Interval | None:
    """Return Fleiss' kappa of ``ratings``, one sequence per item and equally many in each; None for one category alone.

    Fleiss, Measuring Nominal Scale Agreement Among Many Raters, Psychological Bulletin 76(5), 1971: who rated an item
    does not matter, only how often it was put into each category.

    Raises:
        DataError: no items, fewer than two ratings of one, unequal numbers, or clusters that cannot be resampled.
        ConfigError: ``alpha`` or ``resamples`` out of range.
    """
    import numpy as np

    raters = len(ratings[0]) if ratings else 0
    if raters < 2 or any(len(given) != raters for given in ratings):
        raise DataError(
            "Fleiss' kappa needs the same number of ratings of each item, and at least two",
            fix="leave out incomplete items, or use Krippendorff's alpha, which takes missing ratings",
        )
    places = {value: place for place, value in enumerate(dict.fromkeys(value for item in ratings for value in item))}
    table = np.zeros((len(ratings), len(places)))
    for row, given in enumerate(ratings):
        for value in given:
            table[row, places[value]] += 1.0
    disagreeing = 1.0 - (table * (table - 1.0)).sum(axis=1) / (raters * (raters - 1))

    def disagreement(counts: Integers) -> tuple[Floats, Floats]:
        items = counts.sum(axis=1)
        shares = counts @ table / (items * raters)[:, None]
        return counts @ disagreeing / items, 1.0 - (shares**2).sum(axis=1)

    return beyond_chance(disagreement, len(ratings), clusters=clusters, alpha=alpha, seed=seed, resamples=resamples)


def beyond_chance(
    disagreement: Disagreement,
    n: int,
    *,
    largest: float = 1.0,
    clusters: Clusters | None,
    alpha: float,
    seed: int,
    resamples: int,
) -> Interval | None:
    """Return 1 - Do / De over ``n`` items with its interval, None where De is 0.

    ``largest`` is the most that two ratings of one item may disagree by.
    """
    import numpy as np

    check_resamples(resamples, alpha)
    index = cluster_index(clusters, n)
    units = n if index is None else int(index.max()) + 1
    told = None if clusters is None else len(set(clusters))
    observed, chance = (float(part[0]) for part in disagreement(np.ones((1, n), dtype=np.int64)))
    if chance <= _NOTHING:
        return None
    if observed <= _NOTHING:
        _, share = wilson_limits(0.0, units, alpha=alpha)
        return Interval(1.0, max(-1.0, 1.0 - share * largest / chance), 1.0, alpha, n, told, NO_DISAGREEMENT)
    draws = []
    for counts in count_matrices(n, index, seed=seed, resamples=resamples):
        seen, expected = disagreement(counts)
        varied = expected > _NOTHING
        draws.append(1.0 - seen[varied] / expected[varied])
    estimate = 1.0 - observed / chance
    kept = np.concatenate(draws)
    if kept.size == 0 or float(np.ptp(kept)) <= _NOTHING:
        return Interval(estimate, -1.0, 1.0, alpha, n, told, NO_SPREAD)
    low, high = expanded_percentiles(kept, units, alpha=alpha)
    method = bootstrap_method(index is not None)
    return Interval(estimate, min(low, estimate), max(high, estimate), alpha, n, told, method)


_NOTHING = 1e-12
"""Below this a disagreement is rounding."""
