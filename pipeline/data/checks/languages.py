"""Languages other than declared, as far as their script tells: English among Polish is not found, Russian is.

Letters are told apart by the Unicode Script property. What a row asks is looked at, and what it answers unless that is
a label or JSON, whose words are the task's and not the language's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pipeline.core.scripts import LEAST_LETTERS, letters_by_script
from pipeline.data.checks.make import finding
from pipeline.data.prepared import Prepared
from schemas.data import Example
from schemas.languages import LanguageCode, scripts_of
from schemas.preflight import Finding


def check_languages(prepared: Prepared, declared: Sequence[LanguageCode]) -> Iterator[Finding]:
    """Yield the rows most of whose letters no declared language is written in; nothing where none is declared."""
    if not declared:
        return
    scripts = sorted({script for language in declared for script in scripts_of(language)})
    for split, examples in prepared.examples.items():
        rows = [example.row for example in examples if any(is_foreign(text, scripts) for text in _texts(example))]
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


def is_foreign(text: str, scripts: Sequence[str]) -> bool:
    """Tell whether most of a text's letters are in none of ``scripts``."""
    letters = letters_by_script(text)
    total = letters.total()
    return total >= LEAST_LETTERS and 2 * sum(letters[script] for script in scripts) < total
