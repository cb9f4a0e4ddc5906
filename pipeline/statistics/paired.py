"""Compare a candidate with a baseline on the same items: difference, interval and p-value in one result.

Unpaired tests throw away that both saw the same items; tests that ignore clusters of near-duplicates reject
far too often. The p-value is two-sided and exact wherever the scores allow it. The test decides: an interval that
excludes 0 where the test does not reject is extended to 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.core.errors import DataError
from pipeline.statistics.bounded import difference_limits, is_thin, wider
from pipeline.statistics.intervals import bootstrap_method, expanded_percentiles, independent_units
from pipeline.statistics.mcnemar import exact_mcnemar
from pipeline.statistics.paired_interval import ADJUSTED_WALD, DISCORDANT, adjusted_wald_limits, discordant_limits
from pipeline.statistics.permutation import can_be_exact, sign_flip_p_value, swap_p_value
from pipeline.statistics.resampling import count_matrices, evaluate_statistic, resampled_ratios
from pipeline.statistics.units import as_pair, check_resamples, cluster_index, is_binary, unit_sums

if TYPE_CHECKING:
    from pipeline.statistics.resampling import CountStatistic
    from pipeline.statistics.units import Clusters, Floats, Integers, Scores


@dataclass(frozen=True)
class PairedResult:
    """A candidate against a baseline, higher scores being better.

    Attributes:
        n: items. clusters: distinct cluster ids (None: none were given).
        candidate, baseline: the two scores; ``difference`` is candidate minus baseline.
        low, high: two-sided interval of the difference, of confidence 1 - ``alpha``.
        p_value: two-sided, of the test named in ``test``.
        only_candidate, only_baseline: items that only this side has right (McNemar's b and c);
            None where scores are not 0/1.
    """

    n: int
    clusters: int | None
    candidate: float
    baseline: float
    difference: float
    low: float
    high: float
    alpha: float
    p_value: float
    test: str
    interval_method: str
    only_candidate: int | None
    only_baseline: int | None

    @property
    def better(self) -> bool:
        """Whether the candidate is significantly better at level ``alpha``."""
        return self.difference > 0 and self.p_value <= self.alpha

    @property
    def worse(self) -> bool:
        """Whether the candidate is significantly worse at level ``alpha``."""
        return self.difference < 0 and self.p_value <= self.alpha


def compare(
    candidate: Scores,
    baseline: Scores,
    *,
    clusters: Clusters | None = None,
    alpha: float = 0.05,
    seed: int = 0,
    resamples: int = 10_000,
) -> PairedResult:
    """Compare per-item scores of the same items in the same order.

    Test: McNemar's exact test for 0/1 scores of independent items, the exact cluster sign-flip test for 0/1
    scores in ``clusters`` (one id per item), else a sign-flip test over ``resamples`` patterns. Interval: see
    `pipeline.statistics.paired_interval` for 0/1 scores, else a paired bootstrap of the difference, whole clusters
    resampled; for scores in [0, 1] of which all but a few differ alike (`bounded.is_thin`), the wider of that and of
    the adjusted Wald interval.

    Raises:
        DataError: no items, unequal lengths, a score that is not finite, not one cluster id per item, or only
            one cluster.
        ConfigError: ``alpha`` or ``resamples`` out of range.
    """
    check_resamples(resamples, alpha)
    first, second = as_pair(candidate, baseline)
    differences = first - second
    index = cluster_index(clusters, first.size)
    sums, _ = unit_sums(differences, index)
    binary = is_binary(first, second)
    gained, lost = int((differences > 0).sum()), int((differences < 0).sum())
    if binary and index is None:
        p_value, test = exact_mcnemar(gained, lost), "exact McNemar"
    else:
        p_value = sign_flip_p_value(differences, clusters=clusters, seed=seed, resamples=resamples)
        test = _sign_flip_name(index is not None, can_be_exact(sums), resamples)
    (low, high), method = _limits(first, second, index, alpha=alpha, seed=seed, resamples=resamples)
    low, high = _agreeing(low, high, p_value, alpha)
    return PairedResult(
        n=first.size,
        clusters=None if clusters is None else len(set(clusters)),
        candidate=float(first.mean()),
        baseline=float(second.mean()),
        difference=float(differences.mean()),
        low=low,
        high=high,
        alpha=alpha,
        p_value=p_value,
        test=test,
        interval_method=method,
        only_candidate=gained if binary else None,
        only_baseline=lost if binary else None,
    )


def compare_corpus(
    statistic: CountStatistic,
    n: int,
    *,
    clusters: Clusters | None = None,
    alpha: float = 0.05,
    seed: int = 0,
    resamples: int = 10_000,
    span: float | None = None,
    worth: float | None = None,
) -> PairedResult:
    """Compare two sides by a metric over a set that is no mean of items, such as macro-F1.

    ``statistic`` takes counts of shape (rows, 2 n), how often a set holds each of the n candidate items
    followed by the n baseline items, and returns the metric of each row's set. Test: approximate
    randomization (items, or whole clusters, swapped between the sides); interval: paired bootstrap, and where ``span``
    says how far two values can lie apart, the wider of that and of `pipeline.statistics.bounded.difference_limits`;
    ``worth`` is the number of equally weighted items that the items are worth to the metric (``n`` by default).

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
    candidate, baseline = (float(side[0]) for side in _both_sides(statistic, np.ones((1, n), dtype=np.int64)))
    draws = []
    for counts in count_matrices(n, index, seed=seed, resamples=resamples):
        first, second = _both_sides(statistic, counts)
        draws.append(first - second)
    units = n if index is None else int(index.max()) + 1
    p_value = swap_p_value(statistic, n, index, seed=seed, resamples=resamples)
    drawn = np.concatenate(draws)
    limits, method = expanded_percentiles(drawn, units, alpha=alpha), f"paired {bootstrap_method(index is not None)}"
    if span is not None:
        independent = independent_units(n, index, worth)
        known = difference_limits(candidate - baseline, float(drawn.var()), independent, span=span, alpha=alpha)
        limits, method = wider(limits, known), _wider(method)
    low, high = _agreeing(*limits, p_value, alpha)
    clustered = "cluster " if index is not None else ""
    return PairedResult(
        n=n,
        clusters=None if clusters is None else len(set(clusters)),
        candidate=candidate,
        baseline=baseline,
        difference=candidate - baseline,
        low=low,
        high=high,
        alpha=alpha,
        p_value=p_value,
        test=f"{clustered}approximate randomization, {resamples} permutations",
        interval_method=method,
        only_candidate=None,
        only_baseline=None,
    )


def _limits(
    first: Floats, second: Floats, index: Integers | None, *, alpha: float, seed: int, resamples: int
) -> tuple[tuple[float, float], str]:
    """Return the limits of the mean difference and the name of the method that fits the scores."""
    differences = first - second
    sums, sizes = unit_sums(differences, index)
    binary = is_binary(first, second)
    if binary and index is None:
        gained, lost = int((differences > 0).sum()), int((differences < 0).sum())
        return discordant_limits(gained, lost, first.size, alpha=alpha), DISCORDANT
    if binary:
        return adjusted_wald_limits(sums, sizes, alpha=alpha), ADJUSTED_WALD
    draws = resampled_ratios(sums, sizes, seed=seed, resamples=resamples)
    limits, method = (
        expanded_percentiles(draws, sums.size, alpha=alpha),
        f"paired {bootstrap_method(index is not None)}",
    )
    if min(first.min(), second.min()) < 0.0 or max(first.max(), second.max()) > 1.0 or not is_thin(sums, sizes):
        return limits, method
    return wider(limits, adjusted_wald_limits(sums, sizes, alpha=alpha)), _wider(method)


def _wider(method: str) -> str:
    return f"wider of {method} and {ADJUSTED_WALD}"


def _agreeing(low: float, high: float, p_value: float, alpha: float) -> tuple[float, float]:
    """Return the limits, extended to 0 where the test does not reject."""
    return (min(low, 0.0), max(high, 0.0)) if p_value > alpha else (low, high)


def _both_sides(statistic: CountStatistic, counts: Integers) -> tuple[Floats, Floats]:
    """Return the statistic of the candidate's and of the baseline's resample, each of shape (rows,)."""
    import numpy as np

    absent = np.zeros_like(counts)
    return (
        evaluate_statistic(statistic, np.concatenate([counts, absent], axis=1)),
        evaluate_statistic(statistic, np.concatenate([absent, counts], axis=1)),
    )


def _sign_flip_name(clustered: bool, exact: bool, resamples: int) -> str:
    name = "cluster sign-flip" if clustered else "sign-flip"
    return f"exact {name}" if exact else f"{name}, {resamples} permutations"
