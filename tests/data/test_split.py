from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pipeline.core.errors import DataError
from pipeline.data.split import Unit, assign_splits, make_units
from schemas.data import Split

SHARES: dict[Split, float] = {"test": 0.2, "validation": 0.1}


def split(keys: list[Any], labels: list[str | None] | None = None, seed: int = 0, **shares: float) -> list[Split]:
    labels = labels or [None] * len(keys)
    units = make_units(keys, labels, [(str(key), "") for key in keys])
    return assign_splits(units, shares or SHARES, seed)  # type: ignore[arg-type]


KEYS_AND_LABELS = st.lists(
    st.tuples(st.integers(0, 30), st.sampled_from(["a", "b", "c"])), min_size=1, max_size=80
).map(lambda rows: ([key for key, _ in rows], [label for _, label in rows]))


@given(KEYS_AND_LABELS, st.integers(0, 5), st.floats(0, 0.5), st.floats(0, 0.4))
def test_units_stay_whole_and_every_row_has_one_split(
    rows: tuple[list[int], list[str | None]], seed: int, test: float, validation: float
) -> None:
    keys, labels = rows
    try:
        found = split(keys, labels, seed, test=test, validation=validation)
    except DataError:
        assert len(set(keys)) < 3 or len(Counter(labels)) >= len(set(keys)) // 3
        return
    assert len(found) == len(keys)
    assert len({(key, part) for key, part in zip(keys, found, strict=True)}) == len(set(keys))
    assert "train" in found
    assert ("test" in found) == (test > 0)
    assert ("validation" in found) == (validation > 0)
    assert found == split(keys, labels, seed, test=test, validation=validation)


@given(st.integers(20, 300), st.integers(1, 4), st.integers(0, 9))
def test_shares_are_met_within_a_row_per_split(count: int, label_count: int, seed: int) -> None:
    labels: list[str | None] = [f"label {index % label_count}" for index in range(count)]
    found = Counter(split(list(range(count)), labels, seed))
    assert abs(found["test"] - 0.2 * count) <= 1
    assert abs(found["validation"] - 0.1 * count) <= 1


@given(st.lists(st.integers(3, 40), min_size=1, max_size=5), st.integers(0, 9))
def test_labels_keep_their_shares(sizes: list[int], seed: int) -> None:
    assume(sum(sizes) >= 15)
    labels: list[str | None] = [f"label {number}" for number, size in enumerate(sizes) for _ in range(size)]
    found = split(list(range(len(labels))), labels, seed)
    for number, size in enumerate(sizes):
        parts = Counter(part for part, label in zip(found, labels, strict=True) if label == f"label {number}")
        assert abs(parts["test"] - 0.2 * size) <= 1.5
        assert abs(parts["validation"] - 0.1 * size) <= 1.5
        assert parts["train"] >= 1


def test_another_seed_is_another_draw() -> None:
    keys = list(range(50))
    assert split(keys, seed=1) != split(keys, seed=2)


def test_a_label_of_one_unit_trains() -> None:
    labels: list[str | None] = ["rare", *["common"] * 30]
    for seed in range(20):
        assert split(list(range(31)), labels, seed)[0] == "train"
        assert split(list(range(31)), labels, seed, test=0.9)[0] == "train"


def test_a_unit_larger_than_a_split_trains() -> None:
    keys = ["big"] * 40 + list(range(60))
    for seed in range(10):
        found = split(keys, seed=seed)
        assert found[0] == "train"
        assert Counter(found) == {"train": 70, "test": 20, "validation": 10}


def test_few_rows_still_fill_every_split() -> None:
    assert sorted(split([1, 2, 3])) == ["test", "train", "validation"]


@pytest.mark.parametrize("keys", [[1], [1, 1, 1, 1], [1, 2]])
def test_too_few_units_are_an_error(keys: list[int]) -> None:
    with pytest.raises(DataError, match=r"too few different rows for a (test|validation) split"):
        split(keys)


def test_no_share_is_no_split() -> None:
    assert set(split(list(range(10)), test=0.0, validation=0.0)) == {"train"}
    assert split([1], test=0.0) == ["train"]


def test_units_have_the_most_frequent_label() -> None:
    names = [(name, "") for name in ("n", "m", "l", "k")]
    units = make_units(["a", "b", "a", "a"], ["x", "y", "z", "z"], names)
    assert units == [Unit((0, 2, 3), "z", ("k", "")), Unit((1,), "y", ("m", ""))]
    assert make_units(["a", "a"], ["y", "x"], names[:2]) == [Unit((0, 1), "x", ("m", ""))]


@pytest.mark.parametrize("label_count", [1, 20])
@pytest.mark.parametrize("seed", range(4))
def test_a_file_that_grows_by_a_tenth_moves_few_rows(label_count: int, seed: int) -> None:
    labels: list[str | None] = [f"label {index % label_count}" for index in range(2200)]
    before = split(list(range(2000)), labels[:2000], seed)
    after = split(list(range(2200)), labels, seed)
    assert Counter(after)["test"] == 440
    moved = sum(old != new for old, new in zip(before, after[:2000], strict=True))
    assert moved < 0.05 * 2000
    assert not any((old, new) == ("train", "test") for old, new in zip(before, after[:2000], strict=True))


def test_the_order_of_the_file_decides_nothing() -> None:
    keys = list(range(300))
    labels: list[str | None] = [f"label {key % 7}" for key in keys]
    backwards = split(keys[::-1], labels[::-1])
    assert backwards[::-1] == split(keys, labels)
