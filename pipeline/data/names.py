"""Names in messages: the nearest one to an unknown name, and the first of many."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the name in ``known`` that is most like ``name``, or None if none is close."""
    by_fold = {item.casefold(): item for item in known}
    found = get_close_matches(name.casefold(), list(by_fold), n=1, cutoff=0.6)
    return by_fold[found[0]] if found else None


def listed(items: Sequence[object], limit: int = 10, separator: str = ", ") -> str:
    """Return ``a, b, c``; after ``limit`` items only how many more there are: ``a, b and 7 more``."""
    text = separator.join(map(str, items[:limit]))
    return text if len(items) <= limit else f"{text}{separator.replace(',', '')}and {len(items) - limit} more"


def quoted(names: Iterable[str], limit: int = 12) -> str:
    """Return ``'a', 'b', 'c'``; after ``limit`` names only how many more there are."""
    return listed([repr(name) for name in names], limit)
