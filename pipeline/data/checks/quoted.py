"""Texts quoted in other texts, told by their word 8-grams.

A text counts as quoted where 70% of its 8-grams stand in the other: the rule of PaLM (Chowdhery et al., 2022,
arXiv:2204.02311, section 8), here within one row instead of the whole corpus. 8-grams that more than three of the texts
share are a frame and do not count. A text of fewer than 13 words (the n-gram of GPT-3, Brown et al., 2020,
arXiv:2005.14165, appendix C) says too little by its parts: it is quoted where it is the whole of a line.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from pipeline.data.near import mixed
from pipeline.data.text import words

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

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
        import numpy as np

        self.texts = texts
        self._whole: dict[tuple[str, ...], list[int]] = defaultdict(list)
        self._ids: dict[str, int] = {}
        keys, owners = [np.empty(0, dtype=np.uint64)], [np.empty(0, dtype=np.int64)]
        for index, text in enumerate(texts):
            found = words(text)
            if len(found) >= LONG:
                grams = _grams([self._ids.setdefault(word, len(self._ids)) for word in found])
                keys.append(grams)
                owners.append(np.full(len(grams), index, dtype=np.int64))
            elif len(found) >= _SHORTEST:
                self._whole[tuple(found)].append(index)
        every, of = np.concatenate(keys), np.concatenate(owners)
        order = np.argsort(every, kind="stable")
        known, first, count = np.unique(every[order], return_index=True, return_counts=True)
        told = count <= _FRAME
        self._keys, self._first, self._count = known[told], first[told], count[told]
        self._owners = of[order]
        self._sizes = np.bincount(self._owners_of(np.arange(len(self._keys))), minlength=len(texts))

    def in_text(self, text: str) -> Iterator[int]:
        """Yield the indexes of the texts that ``text`` quotes, each once."""
        import numpy as np

        if self._whole:
            lines = {tuple(words(line)) for line in text.splitlines()}
            for line in sorted(lines & self._whole.keys()):
                yield from self._whole[line]
        if not len(self._keys):
            return
        unknown = len(self._ids)
        grams = _grams([self._ids.get(word, unknown) for word in words(text)])
        places = np.searchsorted(self._keys, grams).clip(max=len(self._keys) - 1)
        shared = np.bincount(self._owners_of(places[self._keys[places] == grams]), minlength=len(self.texts))
        yield from np.flatnonzero((shared > 0) & (shared >= SHARE * self._sizes)).tolist()

    def _owners_of(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the texts that have the 8-grams at ``places``, once for each of them."""
        import numpy as np

        first, count = self._first[places], self._count[places]
        return np.concatenate([self._owners[:0], *(self._owners[first[count > n] + n] for n in range(_FRAME))])


def _grams(ids: Sequence[int]) -> NDArray[np.uint64]:
    """Return the 8-grams of a text, each once, as keys that unlike ones share by chance only."""
    import numpy as np

    if len(ids) < GRAM:
        return np.empty(0, dtype=np.uint64)
    return np.unique(mixed(np.lib.stride_tricks.sliding_window_view(np.asarray(ids, dtype=np.uint32), GRAM)))
