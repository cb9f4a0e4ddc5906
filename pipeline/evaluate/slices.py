"""Slices: kinds of items that a score over all of them hides, found from the items themselves.

A slice depends on what is asked and expected and never on an answer, so that every subject has the same ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

from pipeline.evaluate.items import Item
from schemas.evaluate import CLEAN, NEAR_TRAIN

T = TypeVar("T")

LEAST_ITEMS = 30
"""Of a slice by length, turns or label: of fewer, an interval says nothing."""

MOST_LABELS = 60
"""Slices by label, the most frequent ones."""


def slice_places(items: Sequence[Item]) -> dict[str, list[int]]:
    """Return the places of the items of each slice.

    ``clean`` and ``near_train``: without and with a near-duplicate among the training rows. ``short``, ``medium`` and
    ``long`` questions: thirds by characters. ``one turn`` and ``several turns``. ``label <answer>``: those of one
    expected answer. No slice has all items; all but the first two have at least `LEAST_ITEMS`.
    """
    near = [place for place, item in enumerate(items) if item.near_train]
    found = dict(_parts(items, {CLEAN: _others(items, near), NEAR_TRAIN: near}, 1))
    found |= _parts(items, _by_length(items), LEAST_ITEMS)
    several = [place for place, item in enumerate(items) if len(_asked(item)) > 1]
    found |= _parts(items, {"one turn": _others(items, several), "several turns": several}, LEAST_ITEMS)
    found |= _by_label(items)
    return found


def slice_names(items: Sequence[Item]) -> list[list[str]]:
    """Return the names of each item's slices, in order."""
    names: list[list[str]] = [[] for _ in items]
    for name, places in slice_places(items).items():
        for place in places:
            names[place].append(name)
    return names


def take(values: Sequence[T], places: Sequence[int]) -> list[T]:
    """Return the values at ``places``."""
    return [values[place] for place in places]


def _parts(items: Sequence[Item], parts: dict[str, list[int]], least: int) -> Iterator[tuple[str, list[int]]]:
    """Yield the parts where each is large enough and none has everything."""
    if all(least <= len(places) < len(items) for places in parts.values()):
        yield from parts.items()


def _others(items: Sequence[Item], places: Sequence[int]) -> list[int]:
    named = set(places)
    return [place for place in range(len(items)) if place not in named]


def _asked(item: Item) -> list[str]:
    return [message.content for message in item.prompt if message.role != "system"]


def _by_length(items: Sequence[Item]) -> dict[str, list[int]]:
    """Return thirds; items of one length are in the same."""
    lengths = [len(item.text) for item in items]
    ranked = sorted(lengths)
    first, second = (ranked[len(ranked) * third // 3] if ranked else 0 for third in (1, 2))
    parts: dict[str, list[int]] = {"short": [], "medium": [], "long": []}
    for place, length in enumerate(lengths):
        parts["short" if length < first else "medium" if length < second else "long"].append(place)
    return parts


def _by_label(items: Sequence[Item]) -> dict[str, list[int]]:
    """Return the expected answers that are frequent enough, the most frequent first."""
    places: dict[str, list[int]] = {}
    for place, item in enumerate(items):
        places.setdefault(item.label or item.reference, []).append(place)
    frequent = [(label, found) for label, found in places.items() if LEAST_ITEMS <= len(found) < len(items)]
    frequent.sort(key=lambda part: (-len(part[1]), part[0]))
    return {f"label {label}": found for label, found in frequent[:MOST_LABELS]}
