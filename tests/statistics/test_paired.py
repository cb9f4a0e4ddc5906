"""Paired tests against enumeration by hand and by brute force, and their level by simulation."""

from __future__ import annotations

import itertools
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.errors import ConfigError, DataError
from pipeline.statistics import compare, compare_corpus, exact_mcnemar, sign_flip_p_value

BITS = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=40)


@pytest.mark.parametrize(
    ("only_candidate", "only_baseline", "expected", "mid_p"),
    [
        # 2 P(X <= 1 | 9, 1/2) = 2 (1 + 9) / 512; mid-p takes off one P(X = 1) = 9 / 512.
        (8, 1, 20 / 512, 11 / 512),
        # 2 P(X <= 0 | 10, 1/2) = 2 / 1024, less 1 / 1024.
        (0, 10, 2 / 1024, 1 / 1024),
        # Equal counts: p is 1; mid-p is 1 - C(6, 3) / 64 / 2.
        (3, 3, 1.0, 1 - 20 / 64 / 2),
        (0, 0, 1.0, 1.0),
    ],
)
def test_mcnemar_by_hand(only_candidate: int, only_baseline: int, expected: float, mid_p: float) -> None:
    assert exact_mcnemar(only_candidate, only_baseline) == pytest.approx(expected, abs=1e-12)
    assert exact_mcnemar(only_candidate, only_baseline, mid_p=True) == pytest.approx(mid_p, abs=1e-12)


def test_p_values_are_never_zero() -> None:
    assert 0 < exact_mcnemar(0, 5000) < 1e-300
    assert 0 < sign_flip_p_value([2.0] * 3000) < 1e-300


@pytest.mark.parametrize(
    ("sums", "expected"),
    [
        ([2, 1, 1], 2 / 8),  # |T| = 4 only for +++ and ---
        ([3, 2, -1], 4 / 8),  # |T| >= 4 for +-(3 + 2 + 1) and +-(3 + 2 - 1)
        ([3, -1], 1.0),  # all four patterns reach |T| >= 2
        ([0, 0], 1.0),
    ],
)
def test_cluster_sign_flip_by_hand(sums: list[int], expected: float) -> None:
    assert sign_flip_p_value(sums) == pytest.approx(expected, abs=1e-12)
    # The same sums, each spread over a cluster of several items.
    items = [np.sign(total) for total in sums for _ in range(abs(total))] + [0] * len(sums)
    ids = [unit for unit, total in enumerate(sums) for _ in range(abs(total))] + list(range(len(sums)))
    assert sign_flip_p_value(items, clusters=ids) == pytest.approx(expected, abs=1e-12)


@given(st.lists(st.integers(-4, 4), min_size=1, max_size=9))
@settings(deadline=None)
def test_exact_sign_flip_equals_enumeration(sums: list[int]) -> None:
    patterns = itertools.product([-1, 1], repeat=len(sums))
    reached = [abs(sum(s * d for s, d in zip(p, sums, strict=True))) >= abs(sum(sums)) for p in patterns]
    assert sign_flip_p_value(sums) == pytest.approx(sum(reached) / len(reached), abs=1e-12)


@given(st.lists(st.integers(-3, 3), min_size=2, max_size=9), st.integers(0, 5))
@settings(max_examples=25, deadline=None)
def test_sampled_sign_flip_tends_to_the_exact_one(sums: list[int], seed: int) -> None:
    # Halved, the differences are no whole numbers, so signs are sampled: sd at most 0.005 with 10,000 of them.
    assert sign_flip_p_value(np.array(sums) / 8, seed=seed) == pytest.approx(sign_flip_p_value(sums), abs=0.025)


@given(BITS)
@settings(max_examples=50, deadline=None)
def test_sides_exchanged(pairs: list[tuple[int, int]]) -> None:
    first, second = zip(*pairs, strict=True)
    result, mirrored = compare(first, second, resamples=200), compare(second, first, resamples=200)
    assert mirrored.difference == pytest.approx(-result.difference, abs=1e-12)
    assert mirrored.p_value == result.p_value
    assert (mirrored.only_candidate, mirrored.only_baseline) == (result.only_baseline, result.only_candidate)
    assert result.low <= result.high
    assert result.low >= -1.0 and result.high <= 1.0
    assert not (result.better and result.worse)


@given(BITS, st.randoms(use_true_random=False))
@settings(max_examples=50, deadline=None)
def test_order_of_items_does_not_matter(pairs: list[tuple[int, int]], random: Random) -> None:
    shuffled = list(pairs)
    random.shuffle(shuffled)
    assert compare(*zip(*pairs, strict=True), resamples=200) == compare(*zip(*shuffled, strict=True), resamples=200)


def test_same_scores_are_no_difference() -> None:
    scores = [0, 1, 1, 0.5]
    result = compare(scores, scores)
    assert (result.difference, result.p_value) == (0.0, 1.0)
    # One item won and one lost: (0, 0, 0, 0, 1, -1) has variance 2/5, and t(0.975, 3) is 3.182446.
    assert result.high == -result.low == pytest.approx(3.182446 * (0.4 / 6) ** 0.5, abs=1e-6)
    assert not result.better


def test_binary_without_clusters() -> None:
    # Ten items: 8 only the candidate has right, 1 only the baseline, 1 both: p = 20 / 512 (above).
    result = compare([1] * 8 + [0, 1], [0] * 8 + [1, 1])
    assert result.test == "exact McNemar"
    assert (result.only_candidate, result.only_baseline) == (8, 1)
    assert (result.candidate, result.baseline) == (0.9, 0.2)
    assert result.difference == pytest.approx(0.7, abs=1e-12)
    assert result.p_value == pytest.approx(20 / 512, abs=1e-12)
    assert result.low < 0.7 < result.high
    assert result.better and not result.worse
    assert result.interval_method == "exact binomial x Wilson of the discordant items"


def test_binary_in_clusters() -> None:
    # The same ten items in three clusters, whose differences sum to 4, 4 and -1: |T| >= 7 for +++, ++-, and mirrored.
    result = compare([1] * 8 + [0, 1], [0] * 8 + [1, 1], clusters=list("aaaabbbbcc"))
    assert (result.test, result.clusters) == ("exact cluster sign-flip", 3)
    assert result.p_value == pytest.approx(4 / 8, abs=1e-12)
    assert (result.only_candidate, result.only_baseline) == (8, 1)


def test_graded_scores() -> None:
    generator = np.random.default_rng(2)
    baseline = generator.random(400) * 0.8
    result = compare(baseline + 0.02 + 0.05 * generator.standard_normal(400), baseline)
    # The standard error of the difference is 0.05 / 20 = 0.0025.
    assert result.difference == pytest.approx(0.02, abs=0.0075)
    assert result.high - result.low == pytest.approx(4 * 0.0025, rel=0.15)
    assert result.p_value == 1 / 10_001
    assert result.only_candidate is None
    assert result.test == "sign-flip, 10000 permutations"


@pytest.mark.slow
def test_level_in_clusters() -> None:
    """Under the null the cluster test rejects at most 6.5% of 600 data sets; ignoring clusters rejects far more."""
    generator = np.random.default_rng(4)
    clusters = np.repeat(np.arange(80), 6)
    rejected = naive = outside = 0
    for _ in range(600):
        first, second = ((generator.random(80) < 0.5).astype(float)[clusters] for _ in range(2))
        result = compare(first, second, clusters=clusters.tolist(), resamples=400)
        rejected += result.p_value <= 0.05
        outside += not result.low <= 0 <= result.high
        naive += compare(first, second, resamples=400).p_value <= 0.05
    assert 0.025 <= rejected / 600 <= 0.065
    assert 0.025 <= outside / 600 <= 0.075
    assert naive / 600 > 0.3


@pytest.mark.slow
def test_level_of_independent_items() -> None:
    generator = np.random.default_rng(8)
    rejected = sum(
        compare(generator.random(50), generator.random(50), resamples=400).p_value <= 0.05 for _ in range(600)
    )
    assert 0.025 <= rejected / 600 <= 0.075


def test_corpus_statistic_agrees_with_items() -> None:
    generator = np.random.default_rng(9)
    first, second = 0.9 * (generator.random(40) < 0.8), 0.9 * (generator.random(40) < 0.6)
    pooled = np.concatenate([first, second])
    clusters = [i // 2 for i in range(40)]
    corpus = compare_corpus(lambda counts: counts @ pooled / counts.sum(axis=1), 40, clusters=clusters, span=1.0)
    items = compare(first, second, clusters=clusters)
    assert corpus.difference == pytest.approx(items.difference, abs=1e-12)
    assert corpus.p_value == pytest.approx(items.p_value, abs=0.015)
    width = items.high - items.low
    assert (corpus.low, corpus.high) == pytest.approx((items.low, items.high), abs=0.06 * width)
    assert corpus.test == "cluster approximate randomization, 10000 permutations"


def test_refusals() -> None:
    with pytest.raises(DataError, match="3 candidate scores and 2 baseline scores"):
        compare([1, 0, 1], [1, 0])
    with pytest.raises(DataError, match="baseline scores: item 0 is inf"):
        compare([1], [float("inf")])
    with pytest.raises(DataError, match="discordant counts -1 and 2"):
        exact_mcnemar(-1, 2)
    with pytest.raises(ConfigError, match="alpha"):
        compare([1, 0], [0, 1], alpha=0.0)
    with pytest.raises(DataError, match="there are 0 items"):
        compare_corpus(lambda counts: counts.sum(axis=1), 0)
