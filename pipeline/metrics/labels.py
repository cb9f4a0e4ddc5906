"""When two label texts are the same label."""

from __future__ import annotations


def normalize_label(text: str) -> str:
    """Return ``text`` case-folded, without outer whitespace and with each inner run of whitespace as one space.

    >>> normalize_label("  Card\\n Arrival ")
    'card arrival'
    """
    return " ".join(text.casefold().split())
