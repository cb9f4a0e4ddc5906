"""A stable order of rows: a seeded hash of what a row holds places it, whatever else the file holds.

Rows that are drawn, cut into splits and stored in this order stay where they are when a file grows or is sorted anew.
"""

from __future__ import annotations

import hashlib

from pipeline.data.rows import Draft

Name = tuple[str, str]
"""What identifies a row, or rows that belong together: digests of what is asked and of what is answered."""


def name_of(draft: Draft) -> Name:
    """Return the digests of what a row asks and answers.

    System turn, a template's words and redaction do not count: changing them moves no row.
    """
    return _digest(draft.as_given.prompt_text), _digest(draft.as_given.answer_text)


def place(name: Name, seed: int) -> Name:
    """Return where ``name`` stands in the order of ``seed``: first by what is asked, then by what is answered."""
    return _digest(f"{seed} {name[0]}"), _digest(f"{seed} {name[1]}")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
