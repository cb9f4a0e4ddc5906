"""From judged pairs to figures: win rate, agreement with people, and what moves the judge beside the answers."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.evaluate.judge.asking import Judged
from pipeline.evaluate.judge.pairs import Pair
from pipeline.statistics import Outcome
from schemas.evaluate import Score
from schemas.judge import Agreement, Biases, Preference

if TYPE_CHECKING:
    from pipeline.statistics import Interval

SEED = 0
"""Of every bootstrap: the same verdicts always give the same figures."""


@dataclass(frozen=True)
class Level:
    """Level of the intervals, and the bootstrap's size."""

    alpha: float
    resamples: int


def preference(outcomes: Sequence[Outcome], clusters: Sequence[int], level: Level) -> Preference:
    """Return the win rate of the first answers."""
    from pipeline.statistics import win_rate

    found = win_rate(outcomes, clusters=clusters, alpha=level.alpha, seed=SEED, resamples=level.resamples)
    return Preference(
        n=found.n,
        clusters=None if found.clusters == found.n else found.clusters,
        wins=found.wins,
        losses=found.losses,
        ties=found.ties,
        value=found.estimate,
        low=found.low,
        high=found.high,
        p_value=found.p_value,
        test=found.test,
        interval=found.interval_method,
    )


def agreement(judged: Sequence[Judged], level: Level) -> Agreement | None:
    """Return how far the judge agrees with people, over the pairs that it gave an outcome for."""
    from pipeline.statistics import cohen_kappa

    both = [(item.pair.label, item.outcome) for item in judged if item.outcome is not None and item.pair.label]
    if not both:
        return None
    people, said = ([pair[side] for pair in both] for side in (0, 1))
    clusters = [item.pair.cluster for item in judged if item.outcome is not None and item.pair.label]
    same = rate([float(one == other) for one, other in both], clusters, level)
    assert same is not None
    kappa = None
    if len(set(clusters)) > 1:
        kappa = cohen_kappa(people, said, clusters=clusters, alpha=level.alpha, seed=SEED, resamples=level.resamples)
    return Agreement(n=len(both), same=same, kappa=None if kappa is None else as_score(kappa))


def biases(judged: Sequence[Judged], level: Level) -> Biases:
    """Return what moves the judge beside the answers; verdicts on one pair count as one in every interval."""
    asked = [item for item in judged if item.replies and item.outcome is not None]
    decided = [
        (item.pair.cluster, reply.verdict.letter == "A")
        for item in judged
        for reply in item.replies
        if reply.verdict is not None and reply.verdict.letter != "tie"
    ]
    outcomes = [(item.pair, item.outcome) for item in judged if item.outcome is not None]
    labels = [(item.pair, item.pair.label) for item in judged if item.pair.label is not None]
    return Biases(
        inconsistent=rate([float(item.inconsistent) for item in asked], [item.pair.cluster for item in asked], level),
        first_shown=rate([float(first) for _, first in decided], [cluster for cluster, _ in decided], level),
        longer=_longer(outcomes, level),
        people_longer=_longer(labels, level),
    )


def _longer(outcomes: Sequence[tuple[Pair, Outcome]], level: Level) -> Score | None:
    counted = [
        (pair.cluster, (outcome == "win") == (len(pair.first) > len(pair.second)))
        for pair, outcome in outcomes
        if outcome != "tie" and len(pair.first) != len(pair.second)
    ]
    return rate([float(longer) for _, longer in counted], [cluster for cluster, _ in counted], level)


def rate(values: Sequence[float], clusters: Sequence[Hashable], level: Level) -> Score | None:
    """Return the mean of 0/1 ``values`` with its interval: None of nothing, all of [0, 1] of one independent item."""
    from pipeline.statistics import score_interval

    if not values:
        return None
    if len(set(clusters)) < 2:
        return Score(
            value=sum(values) / len(values), low=0.0, high=1.0, n=len(values), method="none: one independent item"
        )
    return as_score(score_interval(values, clusters=clusters, alpha=level.alpha, seed=SEED, resamples=level.resamples))


def as_score(interval: Interval) -> Score:
    """Return an interval as artifacts hold it."""
    return Score(value=interval.estimate, low=interval.low, high=interval.high, n=interval.n, method=interval.method)
