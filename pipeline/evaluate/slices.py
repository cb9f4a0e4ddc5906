"""Slices: kinds of items that a score over all of them hides, found from the items themselves.

A slice depends on what is asked and expected and never on an answer, so that every subject has the same ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

from pipeline.core.scripts import main_script
from pipeline.evaluate.backends import find_topics
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
    expected answer. ``language <name>`` by what the rows say, else ``script <name>`` by the questions' letters.
    ``topic <words>``: questions about the same. No slice has all items; all but the first two have at least
    `LEAST_ITEMS`. It takes a while: call it once.
    """
    near = [place for place, item in enumerate(items) if item.near_train]
    found = dict(_parts(items, {CLEAN: _others(items, near), NEAR_TRAIN: near}, 1))
    found |= _parts(items, _by_length(items), LEAST_ITEMS)
    several = [place for place, item in enumerate(items) if len(_asked(item)) > 1]
    found |= _parts(items, {"one turn": _others(items, several), "several turns": several}, LEAST_ITEMS)
    found |= _by_label(items)
    found |= _by_language(items)
    topics = find_topics([_question(item) for item in items])
    found |= _large({f"topic {name}": places for name, places in topics}, items)
    return found


def slice_names(items: int, parts: Mapping[str, Sequence[int]]) -> list[list[str]]:
    """Return the names of each item's slices, in order; ``parts`` as `slice_places` returns them."""
    names: list[list[str]] = [[] for _ in range(items)]
    for name, places in parts.items():
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
    frequent = list(_large(places, items).items())[:MOST_LABELS]
    return {f"label {label}": found for label, found in frequent}


def _by_language(items: Sequence[Item]) -> dict[str, list[int]]:
    said = any(item.language is not None for item in items)
    kind = "language" if said else "script"
    places: dict[str, list[int]] = {}
    for place, item in enumerate(items):
        name = item.language if said else main_script(_question(item))
        if name is not None:
            places.setdefault(f"{kind} {name}", []).append(place)
    return _large(places, items)


def _large(parts: Mapping[str, list[int]], items: Sequence[Item]) -> dict[str, list[int]]:
    """Return the parts that have enough items and not all, the largest first."""
    kept = [(name, places) for name, places in parts.items() if LEAST_ITEMS <= len(places) < len(items)]
    return dict(sorted(kept, key=lambda part: (-len(part[1]), part[0])))


def _question(item: Item) -> str:
    """Return what is asked, without a system turn."""
    return "\n".join(_asked(item))
