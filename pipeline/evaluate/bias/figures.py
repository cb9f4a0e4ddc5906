"""From what items say to figures with 95% intervals: items that share a template or a cluster count as one.

A figure is the mean of a value of each item, None where the item says nothing about it: 0 or 1 where the figure is a
share, from -1 to 1 where it is around 0 (`schemas.bias.FIGURES`).
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

from schemas.bias import FIGURES
from schemas.evaluate import Score

SEED = 0
"""Of every resampling: the same answers always give the same figures."""

ONE_UNIT = "none: one independent item"

Values = Mapping[str, Sequence[float | None]]
"""By figure, one value of each item."""


def figures_of(kind: str, values: Values, clusters: Sequence[Hashable]) -> dict[str, Score]:
    """Return the figures of a kind of probe; one that no item says anything about is left out."""
    found = {}
    for name, figure in FIGURES[kind].items():
        kept = [(value, cluster) for value, cluster in zip(values[name], clusters, strict=True) if value is not None]
        if kept:
            measure = balance if figure.side == "around 0" else share
            found[name] = measure([value for value, _ in kept], [cluster for _, cluster in kept])
    return found


def share(hits: Sequence[float], clusters: Sequence[Hashable]) -> Score:
    """Return the share of ``hits``, each 0 or 1, with Wilson's interval (in clusters at the effective number of items).

    See `pipeline.statistics.score_interval`. One independent item shows nothing: its interval is [0, 1].
    """
    from pipeline.statistics import score_interval

    if len(set(clusters)) < 2:
        return Score(value=sum(hits) / len(hits), low=0.0, high=1.0, n=len(hits), method=ONE_UNIT)
    found = score_interval(hits, clusters=clusters, seed=SEED)
    return Score(value=found.estimate, low=found.low, high=found.high, n=found.n, method=found.method)


def balance(values: Sequence[float], clusters: Sequence[Hashable]) -> Score:
    """Return the mean of ``values``, each in [-1, 1], with its interval.

    It is the difference between what speaks for one side and what speaks for the other on the same items, and has the
    interval of one (`pipeline.statistics.compare`): never without a width, however much alike the items are. One
    independent item shows nothing: [-1, 1].
    """
    from pipeline.statistics import compare

    if len(set(clusters)) < 2:
        return Score(value=sum(values) / len(values), low=-1.0, high=1.0, n=len(values), method=ONE_UNIT)
    one, other = ([max(0.0, side * value) for value in values] for side in (1, -1))
    found = compare(one, other, clusters=clusters, seed=SEED)
    return Score(value=found.difference, low=found.low, high=found.high, n=found.n, method=found.interval_method)
