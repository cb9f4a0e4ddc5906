"""Answers say other labels."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection
from dataclasses import replace
from typing import Final

from pipeline.monitor.found import Found, compare_shares, frequent
from pipeline.monitor.rows import Row, label_parts
from pipeline.monitor.windows import Items, Windows

MOST_LABELS: Final = 500

OTHER: Final = "(other)"
"""Stands for labels that fewer than `_LEAST` answers of both windows have."""

_LEAST = 5
_REPEATED = 0.8
_PRIOR = 0.5


def detect(windows: Windows) -> Found | str:
    """Compare how often each label is answered: Pearson's chi-square, permuted; the effect is the PSI.

    The population stability index is the sum of (now - before) ln(now / before) over labels (Siddiqi, Credit Risk
    Scorecards, 2006, ch. 10; Yurdakul and Naranjo, Statistical Properties of the Population Stability Index, Journal of
    Risk Model Validation 14(4), 2020), with half an answer added to each. Of an answer that is a JSON object every
    plain value counts as a label. Answers of which under 80% repeat are texts, of which this says nothing.
    """
    items = windows.items(labels_of)
    counts = Counter(part for value in items.values for part in value)
    repeated = sum(count for count in counts.values() if count > 1)
    if repeated < _REPEATED * counts.total():
        return "answers are texts, not labels"
    known = frequent(items, _LEAST, MOST_LABELS)
    kept = set(known)
    values = tuple(frozenset(part if part in kept else OTHER for part in value) for value in items.values)
    if any(OTHER in value for value in values):
        known.append(OTHER)
    grouped: Items[Collection[str]] = Items(values, items.second, items.units)
    return replace(compare_shares(grouped, known, windows.seed), effect=stability_index(grouped, known))


def labels_of(row: Row) -> Collection[str] | None:
    """Return what an answer says as labels; None where there is none."""
    return label_parts(row.output) if row.output and not row.failed else None


def stability_index(items: Items[Collection[str]], labels: Collection[str]) -> float:
    """Return the population stability index over ``labels``."""
    found = []
    for side in (False, True):
        counts = Counter(
            part for value, second in zip(items.values, items.second, strict=True) if second == side for part in value
        )
        total = sum(counts[label] for label in labels) + _PRIOR * len(labels)
        found.append([(counts[label] + _PRIOR) / total for label in labels])
    return math.fsum((now - before) * math.log(now / before) for before, now in zip(*found, strict=True))
