from __future__ import annotations

from pipeline.data.leakage import find_leakage
from pipeline.data.rows import Draft
from schemas.data import Split


def test_copies_and_near_rows_are_found_in_both_directions() -> None:
    texts = ["where is it", "Where is it?", "where was it", "other", "OTHER", "alone", "else", "like"]
    splits: list[Split] = ["train", "test", "test", "validation", "train", "test", "test", "train"]
    drafts = [Draft("train", index, text=text) for index, text in enumerate(texts)]
    # pairs of indexes: test rows near a training row before and after them, one near a validation row only
    found = find_leakage(drafts, splits, [(0, 2, 0.8), (3, 6, 0.9), (5, 6, 0.9), (3, 4, 1.0), (5, 7, 0.8)])
    assert found.copies == {"validation": 1, "test": 1}
    assert found.near_train == {1, 2, 3, 5}


def test_without_held_out_rows_nothing_leaks() -> None:
    found = find_leakage([Draft("train", 1, text="a"), Draft("train", 2, text="a")], ["train", "train"], [(0, 1, 1.0)])
    assert (found.copies, found.near_train) == ({}, frozenset())
