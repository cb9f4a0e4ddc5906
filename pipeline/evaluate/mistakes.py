"""Mistakes: what is most often taken for what, by label or by field of a JSON record."""

from __future__ import annotations

import json
from collections.abc import Sequence

from pipeline.evaluate.items import Item
from pipeline.metrics import field_confusions, worst_confusions
from schemas.evaluate import Confusion

_SHOWN = 20
_LENGTH = 120
"""Characters of an answer that a confusion shows; items.parquet has it whole."""


def find_confusions(items: Sequence[Item], predictions: Sequence[str]) -> tuple[Confusion, ...]:
    """Return the most frequent wrong answers, most frequent first; none for free text."""
    references = [item.reference for item in items]
    if all(item.label is not None for item in items):
        found = [
            Confusion(expected=_short(wrong.reference), predicted=_short(wrong.predicted), count=wrong.count)
            for wrong in worst_confusions(predictions, references, top=_SHOWN)
        ]
        return tuple(found)
    if not all(_is_object(reference) for reference in references):
        return ()
    found = [
        Confusion(
            expected=_short(wrong.reference),
            predicted=_short(wrong.predicted),
            count=wrong.count,
            field=errors.field,
        )
        for errors in field_confusions(predictions, references)
        for wrong in errors.confusions
    ]
    return tuple(sorted(found, key=lambda wrong: (-wrong.count, wrong.field or "", wrong.expected))[:_SHOWN])


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


def _short(text: str) -> str:
    return text if len(text) <= _LENGTH else f"{text[: _LENGTH - 1]}…"
