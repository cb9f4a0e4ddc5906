"""Inputs use other words."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import replace
from typing import Final

from pipeline.monitor.found import Found, compare_shares, frequent
from pipeline.monitor.windows import Items, Windows

MOST_WORDS: Final = 500

_LEAST_SHARE = 0.005
_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)?")


def words_of(text: str) -> frozenset[str]:
    """Return the words of a text in lower case."""
    return frozenset(_WORD.findall(text.casefold()))


def detect(windows: Windows) -> Found:
    """Compare in how many inputs each of the `MOST_WORDS` most frequent words is (Pearson's chi-square, permuted).

    Words in less than 0.5% of the inputs of both windows say little each and are left out. The effect is the share of
    the current window's words, with repetition over inputs, that the reference does not have.
    """
    texts = windows.texts
    items: Items[Collection[str]] = Items(tuple(words_of(text) for text in texts.values), texts.second, texts.units)
    least = max(3, round(_LEAST_SHARE * len(items.values)))
    found = compare_shares(items, frequent(items, least, MOST_WORDS), windows.seed)
    before = {word for value, second in zip(items.values, items.second, strict=True) if not second for word in value}
    now = [word for value, second in zip(items.values, items.second, strict=True) if second for word in value]
    return replace(found, effect=sum(word not in before for word in now) / max(1, len(now)))
