"""Similarity of messages, so that rows are near-duplicates only where the generator means them to be."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Set
from typing import Final

_WORD: Final = re.compile(r"\w+")


def bigrams(text: str) -> frozenset[tuple[str, str]]:
    """The set of neighboring word pairs of `text`, in lower case and without punctuation."""
    words = _WORD.findall(text.lower())
    return frozenset(zip(words, words[1:], strict=False))


def jaccard(left: Set[object], right: Set[object]) -> float:
    """|left & right| / |left | right|; 1.0 for two empty sets."""
    union = len(left | right)
    return len(left & right) / union if union else 1.0


class SimilarityIndex:
    """Texts seen so far, with the exact highest similarity of a new text to any of them."""

    def __init__(self) -> None:
        self._sizes: list[int] = []
        self._postings: dict[tuple[str, str], list[int]] = {}

    def highest(self, text: str) -> float:
        """The highest Jaccard similarity of word bigrams between `text` and any text added before; 0.0 if none."""
        pairs = bigrams(text)
        shared: Counter[int] = Counter()
        for pair in pairs:
            shared.update(self._postings.get(pair, ()))
        size = len(pairs)
        return max((count / (size + self._sizes[index] - count) for index, count in shared.items()), default=0.0)

    def add(self, text: str) -> None:
        """Remembers `text`."""
        pairs = bigrams(text)
        for pair in pairs:
            self._postings.setdefault(pair, []).append(len(self._sizes))
        self._sizes.append(len(pairs))
