"""Languages other than declared, as far as their script tells: English among Polish is not found, Russian is.

Letters are told apart by the Unicode Script property. What a row asks is looked at, and what it answers unless that is
a label or JSON, whose words are the task's and not the language's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache

from pipeline.data.checks.make import finding
from pipeline.data.prepared import Prepared
from schemas.data import Example
from schemas.languages import LanguageCode, scripts_of
from schemas.preflight import Finding

_LETTERS = 4
"""Letters below which a text is too short to tell."""


def check_languages(prepared: Prepared, declared: Sequence[LanguageCode]) -> Iterator[Finding]:
    """Yield the rows most of whose letters no declared language is written in; nothing where none is declared."""
    if not declared:
        return
    scripts = sorted({script for language in declared for script in scripts_of(language)})
    is_foreign = _foreign(tuple(scripts))
    for split, examples in prepared.examples.items():
        rows = [example.row for example in examples if any(map(is_foreign, _texts(example)))]
        if rows:
            told = f"declared: {', '.join(declared)} ({', '.join(scripts)})"
            yield finding("undeclared_language", split, rows, detail=told)


def _texts(example: Example) -> Iterator[str]:
    if example.text is not None:
        yield example.text
    yield "\n".join(turn.content for turn in example.prompt if turn.role == "user")
    if example.label is None and not example.answer.lstrip().startswith(("{", "[")):
        yield example.answer
    for side in (example.chosen, example.rejected):
        yield "\n".join(turn.content for turn in side)


def _foreign(scripts: tuple[str, ...]) -> Callable[[str], bool]:
    """Return what says of a text whether most of its letters are in none of ``scripts``."""
    import regex

    own = regex.compile("[" + "".join(rf"\p{{Script={script}}}" for script in scripts) + "]")

    @lru_cache(maxsize=65_536)
    def is_own(letter: str) -> bool:
        return own.match(letter) is not None

    def is_foreign(text: str) -> bool:
        letters = Counter(letter for letter in text if letter.isalpha())
        total = letters.total()
        return total >= _LETTERS and 2 * sum(n for letter, n in letters.items() if is_own(letter)) < total

    return is_foreign
