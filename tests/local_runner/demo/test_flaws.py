"""What `planted.json` says is counted again from the files alone, with code that shares nothing with the generator."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from itertools import combinations, pairwise
from random import Random

import pytest

from local_runner.demo.files import DemoFiles, read_planted
from local_runner.demo.flaws import Pair, Planted, plant


@pytest.fixture(scope="module")
def planted(demo_files: DemoFiles) -> Planted:
    return read_planted(demo_files.planted)


@pytest.fixture(scope="module")
def train(demo_files: DemoFiles) -> dict[int, dict[str, str]]:
    return _read(demo_files.triage.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def test(demo_files: DemoFiles) -> dict[int, dict[str, str]]:
    return _read(demo_files.triage_test.read_text(encoding="utf-8"))


def _read(text: str) -> dict[int, dict[str, str]]:
    rows = {}
    for number, line in enumerate(text.splitlines(), 1):
        try:
            rows[number] = json.loads(line)
        except json.JSONDecodeError:
            continue
    return rows


def _pairs(pairs: tuple[Pair, ...]) -> set[frozenset[int]]:
    return {frozenset((pair.first, pair.second)) for pair in pairs}


@pytest.mark.slow
def test_counts_follow_the_declared_shares(planted: Planted) -> None:
    # 6000 rows: 20, 30, 6, 50, 4 and 6 per thousand.
    assert len(planted.exact_duplicates) == 120
    assert len(planted.near_duplicates) == 180
    assert len(planted.contradictions) == 36
    assert len(planted.personal_data) == 300
    assert len(planted.exact_leaks) == 24
    assert len(planted.near_leaks) == 36


def test_only_the_malformed_line_is_no_json(
    demo_files: DemoFiles, planted: Planted, train: dict[int, dict[str, str]], test: dict[int, dict[str, str]]
) -> None:
    lines = demo_files.triage.read_text(encoding="utf-8").splitlines()
    assert len(lines) == 6000
    assert set(range(1, 6001)) - set(train) == {planted.malformed}
    assert len(test) == 800


def test_equal_messages_are_the_planted_copies_and_contradictions(
    planted: Planted, train: dict[int, dict[str, str]]
) -> None:
    by_message = defaultdict(list)
    for number, row in train.items():
        by_message[row["message"]].append(number)
    equal = {frozenset(numbers) for numbers in by_message.values() if len(numbers) > 1}
    copies = {pair for pair in equal if len({train[number]["triage"] for number in pair}) == 1}
    assert copies == _pairs(planted.exact_duplicates)
    assert equal - copies == _pairs(planted.contradictions)


@pytest.mark.slow
def test_near_duplicates_are_the_planted_ones(
    planted: Planted, train: dict[int, dict[str, str]], test: dict[int, dict[str, str]]
) -> None:
    rows = {("train", number): row["message"] for number, row in train.items()}
    rows |= {("test", number): row["message"] for number, row in test.items()}
    found = _similar(rows, threshold=0.8)
    expected = {frozenset((("train", p.first), ("train", p.second))) for p in planted.near_duplicates}
    expected |= {frozenset((("train", p.first), ("test", p.second))) for p in planted.near_leaks}
    assert {pair for pair, similarity in found.items() if similarity < 1.0} == expected
    equal = {frozenset((("train", p.first), ("train", p.second))) for p in planted.exact_duplicates}
    equal |= {frozenset((("train", p.first), ("train", p.second))) for p in planted.contradictions}
    equal |= {frozenset((("train", p.first), ("test", p.second))) for p in planted.exact_leaks}
    assert {pair for pair, similarity in found.items() if similarity == 1.0} == equal


def _similar(rows: dict[tuple[str, int], str], threshold: float) -> dict[frozenset[tuple[str, int]], float]:
    """All pairs at or above `threshold` (Jaccard of word bigrams), by multiplying the incidence matrix with itself."""
    import numpy as np
    from scipy.sparse import csr_matrix

    keys = list(rows)
    words = [re.findall(r"\w+", rows[key].lower()) for key in keys]
    sets = [sorted(set(pairwise(sequence))) for sequence in words]
    column = {pair: index for index, pair in enumerate(sorted(set().union(*sets)))}
    indices = [column[pair] for pairs in sets for pair in pairs]
    sizes = np.array([len(pairs) for pairs in sets])
    starts = np.concatenate([[0], np.cumsum(sizes)])
    incidence = csr_matrix((np.ones(len(indices), dtype=np.int32), indices, starts), shape=(len(keys), len(column)))
    found = {}
    for start in range(0, len(keys), 1000):
        shared = (incidence[start : start + 1000] @ incidence.T).tocoo()
        left, right = shared.row + start, shared.col
        similarity = shared.data / (sizes[left] + sizes[right] - shared.data)
        chosen = (left < right) & (similarity >= threshold)
        for i, j, value in zip(left[chosen], right[chosen], similarity[chosen], strict=True):
            found[frozenset((keys[i], keys[j]))] = float(value)
    return found


# How each kind looks, written from its definition and not from the generator.
PATTERNS = {
    "email": re.compile(r"[\w.]+@[\w.]+\.\w+"),
    "phone": re.compile(r"\+1 \d{3} 555 0\d{3}|\(\d{3}\) 555-0\d{3}|(?<!\d)\d{3}-555-0\d{3}"),
    "credit_card": re.compile(r"(?<!\w)4\d{3}(?: ?\d{4}){3}(?!\d)"),
    "iban": re.compile(r"\bDE\d{20}\b"),
    "ip_address": re.compile(r"\b192\.168\.\d{1,3}\.\d{1,3}\b"),
}


def test_personal_data_is_where_it_was_planted(planted: Planted, train: dict[int, dict[str, str]]) -> None:
    found = {
        (number, kind, match.group())
        for number, row in train.items()
        for kind, pattern in PATTERNS.items()
        for match in pattern.finditer(row["message"])
    }
    assert found == {(item.line, item.kind, item.value) for item in planted.personal_data}
    assert Counter(item.kind for item in planted.personal_data) == dict.fromkeys(PATTERNS, 60)


def test_leaks_lie_in_both_files(
    planted: Planted, train: dict[int, dict[str, str]], test: dict[int, dict[str, str]]
) -> None:
    messages = {row["message"]: number for number, row in train.items()}
    equal = {(messages[row["message"]], number) for number, row in test.items() if row["message"] in messages}
    assert equal == {(pair.first, pair.second) for pair in planted.exact_leaks}
    for pair in (*planted.exact_leaks, *planted.near_leaks):
        assert train[pair.first]["triage"] == test[pair.second]["triage"]


def test_no_line_has_two_flaws(planted: Planted) -> None:
    kinds = [
        {line for pair in pairs for line in (pair.first, pair.second)}
        for pairs in (planted.exact_duplicates, planted.near_duplicates, planted.contradictions)
    ]
    kinds += [{pair.first for pair in (*planted.exact_leaks, *planted.near_leaks)}]
    kinds += [{item.line for item in planted.personal_data}, {planted.malformed}]
    assert all(not left & right for left, right in combinations(kinds, 2))


@pytest.mark.parametrize(("rows", "test_rows"), [(999, 800), (6000, 599)])
def test_too_few_rows_are_refused(rows: int, test_rows: int) -> None:
    with pytest.raises(ValueError, match=f"{rows} rows and {test_rows} test rows"):
        plant(rows=rows, test_rows=test_rows, random=Random(0))
