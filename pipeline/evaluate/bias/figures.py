"""From what was counted to figures with 95% intervals: items that share a template or a cluster count as one."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from schemas.evaluate import Score

SEED = 0
"""Of every resampling: the same answers always give the same figures."""

ONE_UNIT = "none: one independent item"


def share(hits: Sequence[bool], clusters: Sequence[Hashable]) -> Score | None:
    """Return the share of hits with Wilson's interval (in clusters at the effective number of items); None of nothing.

    See `pipeline.statistics.score_interval`. One independent item shows nothing: its interval is [0, 1].
    """
    from pipeline.statistics import score_interval

    if not hits:
        return None
    if len(set(clusters)) < 2:
        return Score(value=sum(hits) / len(hits), low=0.0, high=1.0, n=len(hits), method=ONE_UNIT)
    found = score_interval([float(hit) for hit in hits], clusters=clusters, seed=SEED)
    return Score(value=found.estimate, low=found.low, high=found.high, n=found.n, method=found.method)


def difference(scores: Sequence[float], others: Sequence[float], clusters: Sequence[Hashable]) -> Score | None:
    """Return the mean of ``scores`` minus ``others``, of the same items, with its paired interval; None of nothing.

    See `pipeline.statistics.compare`. Scores are in [0, 1]; one independent item shows nothing: [-1, 1].
    """
    from pipeline.statistics import compare

    if not scores:
        return None
    if len(set(clusters)) < 2:
        value = sum(one - other for one, other in zip(scores, others, strict=True)) / len(scores)
        return Score(value=value, low=-1.0, high=1.0, n=len(scores), method=ONE_UNIT)
    found = compare(scores, others, clusters=clusters, seed=SEED)
    return Score(value=found.difference, low=found.low, high=found.high, n=found.n, method=found.interval_method)


def balance(signs: Sequence[int], clusters: Sequence[Hashable]) -> Score | None:
    """Return the mean of ``signs``, each -1, 0 or 1, with its interval; None of nothing.

    It is the difference of two shares of the same items, and has the interval of one, which is never without a width,
    however much alike the items are.
    """
    plus, minus = ([float(side * sign > 0) for sign in signs] for side in (1, -1))
    return difference(plus, minus, clusters)
