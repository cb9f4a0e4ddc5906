"""Leakage: rows of validation and test that repeat, or nearly repeat, a training row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.data.rows import Draft
from pipeline.data.text import words
from schemas.data import Split


@dataclass(frozen=True)
class Leakage:
    """What leaked: exact copies of training rows by split, and all rows with a near-duplicate among training rows."""

    copies: dict[Split, int]
    near_train: frozenset[int]


def find_leakage(drafts: Sequence[Draft], splits: Sequence[Split], pairs: Sequence[tuple[int, int, float]]) -> Leakage:
    """Compare every held-out row with the training rows.

    Args:
        drafts: all kept rows.
        splits: the split of each.
        pairs: near-duplicate pairs of indexes into ``drafts``.

    A copy has the same words in the same order as a training row's prompt, whatever its case and punctuation.
    """
    trained = {tuple(words(draft.prompt_text)) for draft, split in zip(drafts, splits, strict=True) if split == "train"}
    copies: dict[Split, int] = {split: 0 for split in ("validation", "test") if split in splits}
    near = set()
    for index, (draft, split) in enumerate(zip(drafts, splits, strict=True)):
        if split != "train" and tuple(words(draft.prompt_text)) in trained:
            copies[split] += 1
            near.add(index)
    for left, right, _ in pairs:
        if splits[left] == "train" and splits[right] != "train":
            near.add(right)
        elif splits[right] == "train" and splits[left] != "train":
            near.add(left)
    return Leakage(copies, frozenset(near))
