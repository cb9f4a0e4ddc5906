"""Win rate: how often one of two answers to the same question is preferred, a tie counting half for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pipeline.statistics.paired import compare

if TYPE_CHECKING:
    from pipeline.statistics.units import Clusters

Outcome = Literal["win", "loss", "tie"]
"""What one item says of the candidate."""

UNTESTED = "none: there is one independent item"


@dataclass(frozen=True)
class WinRate:
    """(wins + ties / 2) / n with its two-sided interval of confidence 1 - ``alpha``; ``p_value`` against one half."""

    n: int
    clusters: int | None
    wins: int
    losses: int
    ties: int
    estimate: float
    low: float
    high: float
    alpha: float
    p_value: float
    test: str
    interval_method: str


def win_rate(
    outcomes: Sequence[Outcome],
    *,
    clusters: Clusters | None = None,
    alpha: float = 0.05,
    seed: int = 0,
    resamples: int = 10_000,
) -> WinRate:
    """Return the win rate of a candidate over ``outcomes``, one per item.

    With 1 for a win on the candidate's side and 1 for a loss on the other's, the difference of the two means is
    2 w - 1, so this is `compare`: the exact sign test over decided items (Dixon & Mood, The Statistical Sign Test, JASA
    41(236), 1946, which is McNemar's), the exact cluster sign-flip test in ``clusters``, and the interval that goes
    with each. One independent item shows nothing: p is 1 and the interval all that a rate can be.

    Raises:
        DataError: no outcomes, or not one cluster id per item.
        ConfigError: ``alpha`` or ``resamples`` out of range.
    """
    wins, losses = (outcomes.count(kind) for kind in ("win", "loss"))
    n, ties = len(outcomes), len(outcomes) - wins - losses
    units = n if clusters is None else len(set(clusters))
    if n and units == 1:
        rate = (wins + ties / 2) / n
        of = None if clusters is None else 1
        return WinRate(n, of, wins, losses, ties, rate, 0.0, 1.0, alpha, 1.0, UNTESTED, UNTESTED)
    found = compare(
        [float(outcome == "win") for outcome in outcomes],
        [float(outcome == "loss") for outcome in outcomes],
        clusters=clusters,
        alpha=alpha,
        seed=seed,
        resamples=resamples,
    )
    return WinRate(
        n=n,
        clusters=found.clusters,
        wins=wins,
        losses=losses,
        ties=ties,
        estimate=(1 + found.difference) / 2,
        low=(1 + max(-1.0, found.low)) / 2,
        high=(1 + min(1.0, found.high)) / 2,
        alpha=alpha,
        p_value=found.p_value,
        test=found.test.replace("McNemar", "sign test"),
        interval_method=found.interval_method,
    )
