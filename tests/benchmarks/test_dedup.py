from __future__ import annotations

from itertools import combinations

import pytest

from benchmarks.dedup import THRESHOLD, exact_pairs, make_documents, measure, run_hone
from pipeline.data.near import similarity


@pytest.mark.slow
def test_documents_are_the_same_for_the_same_seed_and_near_the_threshold_on_both_sides() -> None:
    texts = make_documents(400, seed=3)
    assert texts == make_documents(400, seed=3)
    assert texts != make_documents(400, seed=4)
    alike = [value for left, right in combinations(texts, 2) if 0.5 < (value := similarity(left, right)) < 1]
    assert sum(value >= THRESHOLD for value in alike) > 10
    assert sum(value < THRESHOLD for value in alike) > 10


@pytest.mark.slow
def test_the_exact_answer_misses_no_pair() -> None:
    texts = make_documents(300, seed=1)
    pairs = combinations(range(300), 2)
    assert exact_pairs(texts) == {(i, j) for i, j in pairs if similarity(texts[i], texts[j]) >= THRESHOLD}


def test_what_is_measured_is_the_answer() -> None:
    texts = make_documents(1500, seed=2)
    truth = exact_pairs(texts)
    measured = measure("hone", texts, truth)
    found = run_hone(texts)
    assert measured.recall == pytest.approx(len(found & truth) / len(truth))
    assert measured.recall >= 0.99
    assert measured.precision == 1.0
    assert measured.cpu_seconds > 0
    assert measured.peak_memory_mb > 10
