"""Limits within bounds: by hand, and where a bootstrap has no width."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.metrics import CorpusMetric, get_metric
from pipeline.statistics import bootstrap_interval, compare, compare_corpus, score_interval
from pipeline.statistics.bounded import (
    difference_limits,
    effective_number,
    is_thin,
    padded_variance,
    score_limits,
    shrinkage,
    wider,
    wilson_limits,
)


@given(st.integers(1, 1000), st.data())
def test_items_of_0_and_1_are_worth_themselves(n: int, data: st.DataObject) -> None:
    share = data.draw(st.integers(0, n)) / n
    assert effective_number(share, share * (1 - share) / n, n) == pytest.approx(n, rel=1e-9)


def test_padding_by_hand() -> None:
    # Three units of 0.5, without variance, and one of 0 and one of 1: the mean is 0.5, the squares 2 * 0.25, over 5^2.
    assert padded_variance(0.5, 0.0, 3, (0.0, 1.0)) == pytest.approx((0.5, 0.02), abs=1e-12)
    # Two units of 1: (2 + 1) / 4 = 0.75; squares 2 * 0.0625 + 0.5625 + 0.0625 = 0.75, over 16.
    assert padded_variance(1.0, 0.0, 2, (0.0, 1.0)) == pytest.approx((0.75, 0.046875), abs=1e-12)


def test_limits_of_a_perfect_score_are_wilsons_with_students_t() -> None:
    # t(0.975, 29) = 2.045230; n = 30 * (1.959964 / 2.045230)^2 = 27.5507, and n / (n + z^2) = 0.877630.
    low, high = score_limits(1.0, 0.0, 30, bounds=(0.0, 1.0), alpha=0.05)
    assert (low, high) == (pytest.approx(0.877630, abs=1e-5), 1.0)
    # A coefficient in [-1, 1] has twice the room.
    low, high = score_limits(1.0, 0.0, 30, bounds=(-1.0, 1.0), alpha=0.05)
    assert (low, high) == (pytest.approx(2 * 0.877630 - 1, abs=2e-5), 1.0)
    assert shrinkage(29, alpha=0.05) == pytest.approx((1.959964 / 2.045230) ** 2, abs=1e-6)


def test_limits_of_no_difference_are_the_adjusted_wald_interval() -> None:
    scores = [1, 0] * 10
    by_items = compare([0.5 * value for value in scores], [0.5 * value for value in scores])
    # 2 / 22 squares, times 22 / 21 of the sample variance, over 22: t(0.975, 19) = 2.093024.
    half = 2.093024 * (2 / 22 * 22 / 21 / 22) ** 0.5
    assert (by_items.low, by_items.high) == pytest.approx((-half, half), abs=1e-6)
    assert difference_limits(0.0, 0.0, 20, span=1.0, alpha=0.05) == pytest.approx((-half, half), abs=1e-6)
    assert difference_limits(0.0, 0.0, 20, span=2.0, alpha=0.05) == pytest.approx((-2 * half, 2 * half), abs=1e-6)


@pytest.mark.parametrize("name", ["macro_f1", "balanced_accuracy", "mcc", "micro_f1"])
def test_a_set_that_is_all_right_is_not_certain(name: str) -> None:
    metric = get_metric(name)
    assert isinstance(metric, CorpusMetric)
    texts = ["a", "a", "a", "b", "b"]
    worth = metric.worth(texts)
    # Two classes of three and two items: 2^2 / (1 / 3 + 1 / 2) = 4.8.
    assert worth == pytest.approx(4.8 if name in ("macro_f1", "balanced_accuracy") else 5.0, abs=1e-12)
    one = bootstrap_interval(metric.statistic(texts, texts), 5, bounds=(metric.least, 1.0), worth=worth)
    assert one.low < 0.6 and one.high == 1.0
    both = compare_corpus(metric.statistic(texts * 2, texts * 2), 5, span=1.0 - metric.least, worth=worth)
    assert both.low < -0.5 and both.high > 0.5


def test_a_bootstrap_rests_on_the_units_that_differ() -> None:
    ones = np.ones(100)
    assert is_thin(np.array([1.0] * 71 + [0.5] * 29), ones)
    assert not is_thin(np.array([1.0] * 70 + [0.5] * 30), ones)
    # Clusters of one mean are alike, whatever their size.
    assert is_thin(np.arange(1.0, 101.0), np.arange(1.0, 101.0))
    graded = score_interval(np.linspace(0.1, 0.9, 100))
    assert graded.method == "bootstrap, expanded percentile"


def test_the_wider_is_taken_on_either_side() -> None:
    assert wider((0.1, 0.5), (0.2, 0.6)) == (0.1, 0.6)
    assert wilson_limits(0.0, 20, alpha=0.05)[0] == 0.0


@pytest.mark.slow
@pytest.mark.parametrize("n", [20, 50, 200])
def test_graded_scores_that_are_nearly_perfect_are_covered(n: int) -> None:
    """Of all items 97% score 1 and the others anything: the mean is 0.985, which a bootstrap alone misses too often."""
    held = 0
    for seed in range(400):
        draw = np.random.default_rng([seed, n])
        scores = np.where(draw.random(n) < 0.97, 1.0, draw.random(n))
        interval = score_interval(scores, resamples=500)
        held += interval.low <= 0.985 <= interval.high
    assert held >= 0.93 * 400
