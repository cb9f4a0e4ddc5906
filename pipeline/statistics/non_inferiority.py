"""Non-inferiority: is a variant at most a margin worse than its parent on the same items?

"No significant difference" is no proof of that: a small test split finds no difference in anything. Here the
lower confidence bound of the difference must lie above minus the margin, so that too few items fail. A
bootstrap bound will not do: where the two agree on every item it is exactly 0, even on ten items.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.core.errors import ConfigError, DataError
from pipeline.statistics.paired_interval import ADJUSTED_WALD, adjusted_wald
from pipeline.statistics.units import as_pair, check_rate, cluster_index, unit_sums

if TYPE_CHECKING:
    from pipeline.statistics.units import Clusters, Scores

METHOD = f"{ADJUSTED_WALD}, one-sided"


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

    Bound: `pipeline.statistics.paired_interval.adjusted_wald`, one-sided.

    Raises:
        DataError: fewer than two items, unequal lengths, a score outside [0, 1], not one cluster id per item,
            or only one cluster.
        ConfigError: ``margin`` or ``alpha`` is not between 0 and 1.
    """
    from scipy.stats import t

    check_rate(alpha, "alpha")
    _check_margin(margin)
    first, second = as_pair(candidate, reference)
    if min(first.min(), second.min()) < 0.0 or max(first.max(), second.max()) > 1.0:
        raise DataError("a score lies outside [0, 1]", fix="scale scores to [0, 1], higher being better")
    if first.size < 2:
        raise DataError("there is one item", fix="measure on at least two items")
    sums, sizes = unit_sums(first - second, cluster_index(clusters, first.size))
    estimate, error, freedom = adjusted_wald(sums, sizes)
    low = estimate - float(t.isf(alpha, freedom)) * error
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
        p_value=max(sys.float_info.min, float(t.sf((estimate + margin) / error, freedom))),
        non_inferior=low > -margin,
        method=METHOD,
    )


def least_items(margin: float, *, alpha: float = 0.05) -> int:
    """Return the fewest independent items on which complete agreement shows a loss of at most ``margin``.

    Where n items agree, the bound of ``non_inferiority`` is -t(1 - alpha, n - 1) sqrt(2 / ((n + 1) (n + 2))). With
    clusters of equal size it is the number of clusters.

    Raises:
        ConfigError: ``margin`` or ``alpha`` is not between 0 and 1.
    """
    from scipy.stats import t

    check_rate(alpha, "alpha")
    _check_margin(margin)

    def shows(n: int) -> bool:
        return float(t.isf(alpha, n - 1)) * math.sqrt(2 / ((n + 1) * (n + 2))) < margin

    below, enough = 1, 2
    while not shows(enough):
        below, enough = enough, 2 * enough
    while enough - below > 1:
        middle = (below + enough) // 2
        below, enough = (below, middle) if shows(middle) else (middle, enough)
    return enough


def _check_margin(margin: float) -> None:
    if not 0.0 < margin < 1.0:
        raise ConfigError(
            f"{margin} is not a margin", where="margin", fix="give the loss that is accepted, between 0 and 1"
        )
