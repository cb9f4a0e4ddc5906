"""Leakage: held-out rows that repeat, or nearly repeat, a training row, and the training rows that go for it.

Rows of given validation and test files stay as they are: a score stays comparable with others on the same file. So it
is the training row that goes where both ask the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Literal

from pipeline.core.context import CallContext
from pipeline.data.contradictions import prompt_key
from pipeline.data.ledger import Ledger
from pipeline.data.rows import Draft
from pipeline.data.text import asked_words
from schemas.data import Split


@dataclass(frozen=True)
class Leakage:
    """What leaked: exact copies of training rows by split, and all rows with a near-duplicate among training rows.

    ``copied`` and ``near_train`` are indexes into the drafts; a copy is in both.
    """

    copies: dict[Split, int]
    near_train: frozenset[int]
    copied: frozenset[int] = frozenset()


def decontaminate(
    drafts: list[Draft], action: Literal["drop", "report"], ledger: Ledger, context: CallContext
) -> list[Draft]:
    """Remove the training rows that ask what a row of a given validation or test file asks, whatever they answer.

    Rows ask the same where all turns before the answer have the same words, the system turn included, and the tools
    are the same (see `asked_words`). They are compared as they were given, before personal data was replaced. With
    ``report`` all stay (see `find_leakage`).
    """
    if action == "report":
        return drafts
    held_out = {_asked(draft): draft for draft in reversed(drafts) if draft.source != "train"}
    kept, removed = [], Counter[str]()
    for draft in drafts:
        asks_too = held_out.get(_asked(draft)) if draft.source == "train" and held_out else None
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

    A copy asks what a training row asks, in the sense of `decontaminate`.
    """
    asked = [_asked(draft) for draft in drafts]
    trained = {words for words, split in zip(asked, splits, strict=True) if split == "train"}
    copies: dict[Split, int] = {split: 0 for split in ("validation", "test") if split in splits}
    near, copied = set[int](), set[int]()
    for index, (words, split) in enumerate(zip(asked, splits, strict=True)):
        if split != "train" and words in trained:
            copies[split] += 1
            copied.add(index)
    near |= copied
    for left, right, _ in pairs:
        if splits[left] == "train" and splits[right] != "train":
            near.add(right)
        elif splits[right] == "train" and splits[left] != "train":
            near.add(left)
    return Leakage(copies, frozenset(near), frozenset(copied))


def _asked(draft: Draft) -> Hashable:
    return prompt_key(draft, asked_words)
