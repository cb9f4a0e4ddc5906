"""Non-inferiority: is a variant at most a margin worse than its parent on the same items?

"No significant difference" is no proof of that: a small test split finds no difference in anything. Here the
lower confidence bound of the difference must lie above minus the margin, so that too few items fail. A
bootstrap bound will not do: where the two agree on every item it is exactly 0, even on ten items.

The bound is the lowest of two or three: the adjusted Wald bound alone is too high where items are only lost, and the
score bound where clusters are few; where nothing is lost, the exact bound of none in n is lower than both.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.core.errors import ConfigError, DataError
from pipeline.statistics.paired_interval import ADJUSTED_WALD, adjusted_wald
from pipeline.statistics.tango import TANGO, effective_counts, tango_lower, tango_statistic
from pipeline.statistics.units import as_pair, check_rate, cluster_index, unit_sums

if TYPE_CHECKING:
    from pipeline.statistics.units import Clusters, Floats, Integers, Scores

METHOD = f"lower of {ADJUSTED_WALD} and {TANGO}, one-sided"


@dataclass(frozen=True)
class NonInferiorityResult:
    """A candidate (a variant) against its reference (the parent); scores in [0, 1], higher being better.

    ``low`` is the one-sided lower bound, of confidence 1 - ``alpha``, of ``difference`` = candidate minus
    reference; ``non_inferior`` says that it lies above -``margin``, which is ``p_value`` < ``alpha``.
    """

    n: int
    clusters: int | None
    candidate: float
    reference: float
    difference: float
    low: float
    margin: float
    alpha: float
    p_value: float
    non_inferior: bool
    method: str


def non_inferiority(
    candidate: Scores,
    reference: Scores,
    *,
    margin: float,
    clusters: Clusters | None = None,
    alpha: float = 0.05,
) -> NonInferiorityResult:
    """Decide whether ``candidate`` is at most ``margin`` worse than ``reference``, item by item.

    Bound: the lower of `pipeline.statistics.paired_interval.adjusted_wald` and `pipeline.statistics.tango.tango_lower`
    at the effective counts, both one-sided with the same t quantile, and where nothing was lost also
    alpha^(1 / n) - 1, the bound of Clopper & Pearson, Biometrika 26(4), 1934. The p-value is the largest of theirs.

    Raises:
        DataError: fewer than two items, unequal lengths, a score outside [0, 1], not one cluster id per item,
            or only one cluster.
        ConfigError: ``margin`` or ``alpha`` is not between 0 and 1.
    """
    check_rate(alpha, "alpha")
    _check_margin(margin)
    first, second = as_pair(candidate, reference)
    if min(first.min(), second.min()) < 0.0 or max(first.max(), second.max()) > 1.0:
        raise DataError("a score lies outside [0, 1]", fix="scale scores to [0, 1], higher being better")
    if first.size < 2:
        raise DataError("there is one item", fix="measure on at least two items")
    low, p_value = _bound(first - second, cluster_index(clusters, first.size), margin, alpha)
    return NonInferiorityResult(
        n=first.size,
        clusters=None if clusters is None else len(set(clusters)),
        candidate=float(first.mean()),
        reference=float(second.mean()),
        difference=float((first - second).mean()),
        low=max(-1.0, low),
        margin=margin,
        alpha=alpha,
        # Below the smallest float the value is unknown but never zero.
        p_value=max(sys.float_info.min, p_value),
        non_inferior=low > -margin,
        method=METHOD,
    )


def _bound(differences: Floats, index: Integers | None, margin: float, alpha: float) -> tuple[float, float]:
    """Return the lower bound, and the p-value of a loss of ``margin``."""
    from scipy.stats import t

    sums, sizes = unit_sums(differences, index)
    estimate, error, freedom = adjusted_wald(sums, sizes)
    quantile = float(t.isf(alpha, freedom))
    gained, dropped = float(differences.clip(min=0.0).sum()), float(-differences.clip(max=0.0).sum())
    won, lost, n = effective_counts(sums, sizes, gained, dropped)
    lows = [estimate - quantile * error, tango_lower(won, lost, n, z=quantile)]
    z = float(tango_statistic(won, lost, n, -margin))
    p_values = [float(t.sf((estimate + margin) / error, freedom)), float(t.sf(z, freedom))]
    if dropped == 0.0:
        lows.append(alpha ** (1 / n) - 1)
        p_values.append((1 - margin) ** n)
    return min(lows), max(p_values)


def least_items(margin: float, *, alpha: float = 0.05) -> int:
    """Return the fewest independent items on which complete agreement shows a loss of at most ``margin``.

    There the exact bound decides, (1 - margin)^n < alpha, but for the largest margins, on a handful of items. With
    clusters of equal size it is the number of clusters.

    Raises:
        ConfigError: ``margin`` or ``alpha`` is not between 0 and 1.
    """
    import numpy as np

    check_rate(alpha, "alpha")
    _check_margin(margin)
    enough = max(2, math.ceil(math.log(alpha) / math.log1p(-margin)))
    while _bound(np.zeros(enough), None, margin, alpha)[0] <= -margin:
        enough += 1
    return enough


def _check_margin(margin: float) -> None:
    if not 0.0 < margin < 1.0:
        raise ConfigError(
            f"{margin} is not a margin", where="margin", fix="give the loss that is accepted, between 0 and 1"
        )
