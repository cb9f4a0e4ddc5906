"""Swapping the words of groups in a text: whole words, case kept, both ways at once."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Swap:
    """Pairs of words that stand for each other; no word is in two of them (`schemas.bias.CounterfactualProbe`)."""

    pairs: Sequence[tuple[str, str]]

    def __call__(self, text: str) -> str:
        """Return ``text`` with every word of a pair replaced by the other.

        A word that is written as it was declared is replaced by the other as that was declared: ``I`` stays a capital.
        A word in capitals, with a capital first letter or in small letters is replaced by one that is written so, any
        other by the word as it was declared; what begins a sentence begins with a capital. Words are whole: no letter,
        digit or underscore stands beside them.

        >>> Swap([("he", "she"), ("his", "her")])("He said HIS name; the hero left.")
        'She said HER name; the hero left.'
        """
        others = {one.casefold(): (one, other) for pair in self.pairs for one, other in (pair, pair[::-1])}
        # Folding the case may change letters (ß, İ): a word is looked for as it is written and as it is folded.
        written = {form for pair in self.pairs for one in pair for form in (one, one.casefold())}
        longest_first = sorted(written, key=lambda word: (-len(word), word))
        pattern = re.compile(rf"(?<!\w)(?:{'|'.join(re.escape(word) for word in longest_first)})(?!\w)", re.IGNORECASE)

        def swapped(match: re.Match[str]) -> str:
            found = match[0]
            one, other = others.get(found.casefold(), (found, found))
            if found != one:
                return _as(found, other)
            return _capital(other) if found[:1].isupper() and _begins_sentence(text, match.start()) else other

        return pattern.sub(swapped, text)


_OPENING = " \t\r\n\"'“‘«(["
"""What may stand between the end of a sentence and the next one's first word."""


def _begins_sentence(text: str, place: int) -> bool:
    before = text[:place].rstrip(_OPENING)
    return not before or before[-1] in ".!?:" or "\n" in text[len(before) : place]


def _as(found: str, other: str) -> str:
    """Return ``other`` in the case of ``found``."""
    if found == found.lower():
        return other.lower()
    if found == found.upper() and len(found) > 1:
        return other.upper()
    return _capital(other) if found[:1] == found[:1].upper() else other


def _capital(word: str) -> str:
    return word[:1].upper() + word[1:]
