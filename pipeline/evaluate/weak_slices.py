"""Where a subject is weak: the slices whose items it gets significantly worse than all others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pipeline.evaluate.items import Item
from pipeline.evaluate.scoring import item_clusters
from pipeline.statistics import contrast, holm
from schemas.evaluate import WeakSlice

LEVEL = 0.05
"""Of all slices together."""


def weak_slices(
    items: Sequence[Item], scores: Sequence[float], parts: Mapping[str, Sequence[int]], *, higher_is_better: bool
) -> tuple[WeakSlice, ...]:
    """Return the slices that are worse at `LEVEL`, p-values corrected by Holm's method, the worst first.

    Items of one cluster count as one; of a metric that is no mean over items, the items' own scores are compared.
    """
    clusters = item_clusters(items)
    if clusters is not None and len(set(clusters)) < 2:
        return ()
    found = {}
    for name, places in parts.items():
        inside = set(places)
        marks = [place in inside for place in range(len(items))]
        found[name] = contrast(scores, marks, clusters=clusters)
    adjusted = holm([each.p_value for each in found.values()])
    weak = [
        WeakSlice(
            name=name, n=len(parts[name]), difference=each.difference, low=each.low, high=each.high, p_value=p_value
        )
        for (name, each), p_value in zip(found.items(), adjusted, strict=True)
        if p_value <= LEVEL and (each.difference < 0) is higher_is_better and each.difference != 0.0
    ]
    return tuple(sorted(weak, key=lambda each: (each.difference if higher_is_better else -each.difference, each.name)))
