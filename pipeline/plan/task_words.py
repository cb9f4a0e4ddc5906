"""Which kind of task a sender's own words name."""

from __future__ import annotations

import re

from schemas.plan import Task

_WORDS: tuple[tuple[Task, re.Pattern[str]], ...] = (
    (
        "classification",
        re.compile(r"\b(classif\w*|intents?|sentiments?|label\w*|categor\w*|triage|moderation|routing)\b"),
    ),
    ("extraction", re.compile(r"\b(extract\w*|json|entit\w*|ner|slots?|fields?|parsing|structured)\b")),
)
"""Whole words: `ner` is no part of `partner` or of `generation`."""

_BREAK = re.compile(r"[\W_\d]+|(?<=[a-z])(?=[A-Z])")


def task_of(words: str) -> Task:
    """Return the kind of task that the words name; free text where they name none.

    >>> task_of("support_intentClassification"), task_of("partner emails")
    ('classification', 'generation')
    """
    separate = _BREAK.sub(" ", words).lower()
    return next((task for task, pattern in _WORDS if pattern.search(separate)), "generation")
