"""Equivalence: do two models score the same on the same items, to within a margin in either direction?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.statistics.non_inferiority import METHOD, non_inferiority

if TYPE_CHECKING:
    from pipeline.statistics.units import Clusters, Scores


@dataclass(frozen=True)
class EquivalenceResult:
    """Two sides with scores in [0, 1].

    ``low`` and ``high`` are the one-sided bounds of ``difference`` = first minus second, each of confidence
    1 - ``alpha``; ``equivalent`` says that both lie within ``margin`` of 0, which is ``p_value`` < ``alpha``.
    """

    n: int
    clusters: int | None
    difference: float
    low: float
    high: float
    margin: float
    alpha: float
    p_value: float
    equivalent: bool
    method: str


def equivalence(
    first: Scores, second: Scores, *, margin: float, clusters: Clusters | None = None, alpha: float = 0.05
) -> EquivalenceResult:
    """Decide by two one-sided tests whether neither side is more than ``margin`` better.

    Schuirmann, A Comparison of the Two One-Sided Tests Procedure and the Power Approach, Journal of Pharmacokinetics
    and Biopharmaceutics 15(6), 1987: both tests are made at level ``alpha``, and the larger p-value is that of the
    whole. Each is that of `non_inferiority`.

    Raises:
        DataError, ConfigError: as `non_inferiority`.
    """
    below = non_inferiority(first, second, margin=margin, clusters=clusters, alpha=alpha)
    above = non_inferiority(second, first, margin=margin, clusters=clusters, alpha=alpha)
    return EquivalenceResult(
        n=below.n,
        clusters=below.clusters,
        difference=below.difference,
        low=below.low,
        high=-above.low,
        margin=margin,
        alpha=alpha,
        p_value=max(below.p_value, above.p_value),
        equivalent=below.non_inferior and above.non_inferior,
        method=METHOD.replace("one-sided", "two one-sided tests"),
    )
