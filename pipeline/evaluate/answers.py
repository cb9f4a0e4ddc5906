"""Answering in portions that are kept: a killed evaluation goes on after the last whole portion."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Protocol

from pipeline.core.context import CallContext
from pipeline.core.workspace import write_atomic
from pipeline.evaluate.backends import Advance, Completion


class Respondent(Protocol):
    """A subject that answers items by their place; it loads what it needs when first asked."""

    @property
    def engine(self) -> str:
        """Library and version, or what else answers."""
        ...

    @property
    def portion(self) -> int:
        """How many items are answered before their answers are kept."""
        ...

    def answer(self, first: int, last: int, context: CallContext, advance: Advance) -> list[Completion]:
        """Return the answers to items [first, last), in order."""
        ...


def collect(respondent: Respondent, items: int, scratch: Path, context: CallContext, label: str) -> list[Completion]:
    """Return the answers to all ``items``; portions that ``scratch`` holds are not asked again.

    Portions are the same in every attempt, so that a resumed evaluation batches as one that was never stopped.
    """
    completions: list[Completion] = []
    with context.progress(label, items) as advance:
        for first in range(0, items, respondent.portion):
            last = min(first + respondent.portion, items)
            kept = scratch / f"answers-{first:08d}-{last:08d}.json"
            portion = read_portion(kept, last - first)
            if portion is None:
                portion = respondent.answer(first, last, context, advance)
                write_atomic(kept, json.dumps([asdict(completion) for completion in portion]))
            else:
                advance(last - first)
            completions += portion
    return completions


def read_portion(path: Path, count: int) -> list[Completion] | None:
    """Return the answers that ``path`` holds; None where it does not hold ``count`` whole ones."""
    try:
        kept = [Completion(**entry) for entry in json.loads(path.read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError):
        return None  # missing or damaged: the portion is asked again
    return kept if len(kept) == count else None
