"""Leakage: held-out rows that repeat, or nearly repeat, a training row, and the training rows that go for it.

Rows of given validation and test files stay as they are: a score stays comparable with others on the same file. So it
is the training row that goes where both ask the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pipeline.core.context import CallContext
from pipeline.data.ledger import Ledger
from pipeline.data.rows import Draft
from pipeline.data.text import asked_words
from schemas.data import Split


@dataclass(frozen=True)
class Leakage:
    """What leaked: exact copies of training rows by split, and all rows with a near-duplicate among training rows."""

    copies: dict[Split, int]
    near_train: frozenset[int]


def decontaminate(
    drafts: list[Draft], action: Literal["drop", "report"], ledger: Ledger, context: CallContext
) -> list[Draft]:
    """Remove the training rows that ask what a row of a given validation or test file asks, whatever they answer.

    With ``report`` all stay (see `find_leakage`).
    """
    if action == "report":
        return drafts
    held_out = {asked_words(draft.prompt_text): draft for draft in reversed(drafts) if draft.source != "train"}
    kept, removed = [], Counter[str]()
    for draft in drafts:
        asks_too = held_out.get(asked_words(draft.prompt_text)) if draft.source == "train" and held_out else None
        if asks_too is None:
            kept.append(draft)
        else:
            ledger.drop(draft, "contamination", detail=f"row {asks_too.row} of {asks_too.source} asks the same")
            removed[asks_too.source] += 1
    for split, count in removed.items():
        context.warn(
            f"{count} training rows ask what a row of {split} asks and are removed; "
            "set data.decontaminate to report to train on them"
        )
    return kept


def find_leakage(drafts: Sequence[Draft], splits: Sequence[Split], pairs: Sequence[tuple[int, int, float]]) -> Leakage:
    """Compare every held-out row with the training rows.

    Args:
        drafts: all kept rows.
        splits: the split of each.
        pairs: near-duplicate pairs of indexes into ``drafts``.

    A copy has the same words in the same order as a training row's prompt, whatever its case and punctuation.
    """
    asked = [asked_words(draft.prompt_text) for draft in drafts]
    trained = {words for words, split in zip(asked, splits, strict=True) if split == "train"}
    copies: dict[Split, int] = {split: 0 for split in ("validation", "test") if split in splits}
    near = set()
    for index, (words, split) in enumerate(zip(asked, splits, strict=True)):
        if split != "train" and words in trained:
            copies[split] += 1
            near.add(index)
    for left, right, _ in pairs:
        if splits[left] == "train" and splits[right] != "train":
            near.add(right)
        elif splits[right] == "train" and splits[left] != "train":
            near.add(left)
    return Leakage(copies, frozenset(near))
