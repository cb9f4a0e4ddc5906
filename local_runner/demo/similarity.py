"""Similarity of messages, so that rows are near-duplicates only where the generator means them to be."""

from __future__ import annotations

import re
from collections.abc import Set
from itertools import pairwise
from math import ceil
from typing import Final

_ROUNDING: Final = 1e-9
_WORD: Final = re.compile(r"\w+")


def bigrams(text: str) -> frozenset[str]:
    """The set of neighboring word pairs of `text`, in lower case and without punctuation."""
    return frozenset(f"{first} {second}" for first, second in pairwise(_WORD.findall(text.lower())))


def jaccard(left: Set[str], right: Set[str]) -> float:
    """|left & right| / |left | right|; 1.0 for two empty sets."""
    shared = len(left & right)
    union = len(left) + len(right) - shared
    return shared / union if union else 1.0


class SimilarityIndex:
    """Texts seen so far, asked whether a new one is too similar to any of them."""

    def __init__(self) -> None:
        self._texts: list[frozenset[str]] = []
        self._holders: dict[str, list[int]] = {}

    def has_similar(self, text: str, threshold: float) -> bool:
        """Whether the similarity of word bigrams between `text` and any text added before is `threshold` or more.

        The answer is exact; a text without a pair is similar to none. A text that similar shares at least
        ceil(threshold * n) of the n pairs, so it holds one of any n - ceil(threshold * n) + 1 of them: only texts that
        hold one of the rarest pairs are compared (prefix filtering; Chaudhuri, Ganti and Kaushik, ICDE 2006).
        """
        pairs = bigrams(text)
        rarest = sorted(pairs, key=lambda pair: (len(self._holders.get(pair, ())), pair))
        needed = ceil(threshold * len(pairs) - _ROUNDING)
        looked_up = rarest[: len(pairs) - needed + 1]
        candidates = {index for pair in looked_up for index in self._holders.get(pair, ())}
        return any(jaccard(pairs, self._texts[index]) >= threshold for index in candidates)

    def add(self, text: str) -> None:
        """Remembers `text`."""
        pairs = bigrams(text)
        for pair in pairs:
            self._holders.setdefault(pair, []).append(len(self._texts))
        self._texts.append(pairs)
