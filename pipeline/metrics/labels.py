"""When two label texts are the same label."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence


def normalize_label(text: str) -> str:
    """Return ``text`` case-folded, without outer whitespace and with each inner run of whitespace as one space.

    >>> normalize_label("  Card\\n Arrival ")
    'card arrival'
    """
    return " ".join(text.casefold().split())


def classes_worth(references: Sequence[str]) -> float:
    """Return how many equally weighted items a mean over classes has, K^2 / sum of 1 / n_k for K classes of n_k items.

    The mean of K shares p of n_k items each has the variance p (1 - p) sum(1 / n_k) / K^2.

    >>> classes_worth(["a", "a", "a", "b"])
    3.0
    """
    counts = Counter(normalize_label(reference) for reference in references).values()
    return len(counts) ** 2 / sum(1 / count for count in counts)
