"""Texts quoted in other texts, told by their word 8-grams.

A text counts as quoted where 70% of its 8-grams stand in the other: the rule of PaLM (Chowdhery et al., 2022,
arXiv:2204.02311, section 8), here within one row instead of the whole corpus. 8-grams that more than three of the texts
share are a frame and do not count. A text of fewer than 13 words (the n-gram of GPT-3, Brown et al., 2020,
arXiv:2005.14165, appendix C) says too little by its parts: it is quoted where it is the whole of a line.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from pipeline.data.text import words

GRAM = 8
SHARE = 0.7
LONG = 13
"""Words from which a text is told by its parts."""

_FRAME = 3
_SHORTEST = 4
"""Words below which a text is too common to say anything."""


class Quotes:
    """An index of texts that are looked for in others."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.texts = texts
        self._whole: dict[tuple[str, ...], list[int]] = defaultdict(list)
        by_gram: dict[str, list[int]] = defaultdict(list)
        for index, text in enumerate(texts):
            found = words(text)
            if len(found) >= LONG:
                for gram in set(_grams(found)):
                    by_gram[gram].append(index)
            elif len(found) >= _SHORTEST:
                self._whole[tuple(found)].append(index)
        self._by_gram = {gram: items for gram, items in by_gram.items() if len(items) <= _FRAME}
        self._sizes = Counter(item for items in self._by_gram.values() for item in items)

    def in_text(self, text: str) -> Iterator[int]:
        """Yield the indexes of the texts that ``text`` quotes, each once."""
        if self._whole:
            lines = {tuple(words(line)) for line in text.splitlines()}
            for line in sorted(lines & self._whole.keys()):
                yield from self._whole[line]
        if not self._by_gram:
            return
        grams = set(_grams(words(text))) & self._by_gram.keys()
        shared = Counter(item for gram in grams for item in self._by_gram[gram])
        yield from sorted(item for item, count in shared.items() if count >= SHARE * self._sizes[item])


def _grams(found: Sequence[str]) -> Iterator[str]:
    return (" ".join(found[start : start + GRAM]) for start in range(len(found) - GRAM + 1))
