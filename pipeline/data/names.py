"""The nearest name: an unknown name is answered with the one that was probably meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the name in ``known`` that is most like ``name``, or None if none is close."""
    by_fold = {item.casefold(): item for item in known}
    found = get_close_matches(name.casefold(), list(by_fold), n=1, cutoff=0.6)
    return by_fold[found[0]] if found else None


def quoted(names: Iterable[str], limit: int = 12) -> str:
    """Return ``'a', 'b', 'c'``; after ``limit`` names only how many more there are."""
    listed = list(names)
    text = ", ".join(repr(name) for name in listed[:limit])
    return text if len(listed) <= limit else f"{text} and {len(listed) - limit} more"
