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
    """Held-out rows, as indexes into the drafts, that training rows repeat: word for word, and nearly (both)."""

    copied: frozenset[int]
    near: frozenset[int]

    def __or__(self, other: Leakage) -> Leakage:
        return Leakage(self.copied | other.copied, self.near | other.near)

    def copies(self, splits: Sequence[Split]) -> dict[Split, int]:
        """Count the copies of each held-out split that is there."""
        held_out: tuple[Split, ...] = ("validation", "test")
        return {split: sum(splits[index] == split for index in self.copied) for split in held_out if split in splits}


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
    held_out = {asked(draft): draft for draft in reversed(drafts) if draft.source != "train"}
    kept, removed = [], Counter[str]()
    for draft in drafts:
        asks_too = held_out.get(asked(draft)) if draft.source == "train" and held_out else None
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
    prompts = [asked(draft) for draft in drafts]
    trained = {prompt for prompt, split in zip(prompts, splits, strict=True) if split == "train"}
    copied = {
        index
        for index, (prompt, split) in enumerate(zip(prompts, splits, strict=True))
        if split != "train" and prompt in trained
    }
    near = set(copied)
    for left, right, _ in pairs:
        if splits[left] == "train" and splits[right] != "train":
            near.add(right)
        elif splits[right] == "train" and splits[left] != "train":
            near.add(left)
    return Leakage(frozenset(copied), frozenset(near))


def asked(draft: Draft) -> Hashable:
    """Return what two rows share if they ask the same, in the sense of `decontaminate`."""
    return prompt_key(draft, asked_words)
