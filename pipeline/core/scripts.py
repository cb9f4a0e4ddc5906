"""The script that a text is written in, by the Unicode Script property (UAX #24) of its letters."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache

from schemas.languages import SCRIPTS

LEAST_LETTERS = 4
"""Letters below which a text is too short to tell."""


@lru_cache(maxsize=65_536)
def script_of(letter: str) -> str | None:
    """Return the script of a letter, None where it is none of `schemas.languages`.

    >>> script_of("ж")
    'Cyrillic'
    """
    import regex

    return next((script for script in SCRIPTS if regex.match(rf"\p{{Script={script}}}", letter)), None)


def letters_by_script(text: str) -> Counter[str | None]:
    """Return how many letters of each script a text has."""
    counted: Counter[str | None] = Counter()
    for letter, count in Counter(filter(str.isalpha, text)).items():
        counted[script_of(letter)] += count
    return counted


def main_script(text: str) -> str | None:
    """Return the script of most of a text's letters; None where no script has more than half, or the text is short."""
    counted = letters_by_script(text)
    total = counted.total()
    script, count = counted.most_common(1)[0] if counted else (None, 0)
    return script if total >= LEAST_LETTERS and 2 * count > total else None
