"""Similarity of messages, so that rows are near-duplicates only where the generator means them to be."""

from __future__ import annotations

import re
from collections.abc import Set
from itertools import pairwise
from math import ceil
from typing import Final

_WORD: Final = re.compile(r"\w+")


def bigrams(text: str) -> frozenset[tuple[str, str]]:
    """The set of neighboring word pairs of `text`, in lower case and without punctuation."""
    words = _WORD.findall(text.lower())
    return frozenset(pairwise(words))


def jaccard(left: Set[object], right: Set[object]) -> float:
    """|left & right| / |left | right|; 1.0 for two empty sets."""
    union = len(left | right)
    return len(left & right) / union if union else 1.0


class SimilarityIndex:
    """Texts seen so far, asked whether a new one is too similar to any of them."""

    def __init__(self) -> None:
        self._texts: list[frozenset[tuple[str, str]]] = []
        self._holders: dict[tuple[str, str], list[int]] = {}

    def has_similar(self, text: str, threshold: float) -> bool:
        """Whether the similarity of word bigrams between `text` and any text added before is `threshold` or more.

        The answer is exact. A text that similar shares at least ceil(threshold * n) of the n pairs, so it holds one
        of any n - ceil(threshold * n) + 1 of them: only texts that hold one of the rarest pairs are compared
        (prefix filtering; Chaudhuri, Ganti and Kaushik, ICDE 2006, section 4).
        """
        pairs = bigrams(text)
        rarest = sorted(pairs, key=lambda pair: len(self._holders.get(pair, ())))
        enough = len(pairs) - ceil(threshold * len(pairs) - 1e-9) + 1
        candidates = {index for pair in rarest[:enough] for index in self._holders.get(pair, ())}
        return any(jaccard(pairs, self._texts[index]) >= threshold for index in candidates)

    def add(self, text: str) -> None:
        """Remembers `text`."""
        pairs = bigrams(text)
        for pair in pairs:
            self._holders.setdefault(pair, []).append(len(self._texts))
        self._texts.append(pairs)
