"""A part against the rest: by hand, against Welch, and its level where clusters lie on both sides."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import t as student
from scipy.stats import ttest_ind

from pipeline.core.errors import DataError
from pipeline.statistics import contrast
from pipeline.statistics.exchange import MOST_DEALS, exchange_p_value


def test_by_hand() -> None:
    # Inside: 1, 0, 0, 1 (mean 0.5); outside: 1, 1, 1, 0 (mean 0.75). Each item is a unit:
    # (s - 0.5) / 4 = +-0.125 four times, and (s - 0.75) / 4 = 0.0625 three times and -0.1875.
    # The sum of squares is 4 * 0.015625 + 3 * 0.00390625 + 0.03515625 = 0.109375; times 8 / 7 = 0.125.
    found = contrast([1, 0, 0, 1, 1, 1, 1, 0], [True] * 4 + [False] * 4, clusters=None)
    assert found.difference == -0.25
    # t(7) at 0.975 is 2.364624; the half width 2.364624 * sqrt(0.125) = 0.836021.
    assert found.low == pytest.approx(-1.0, abs=1e-12)  # -1.086 is no difference of shares
    assert found.high == pytest.approx(-0.25 + 0.836021, abs=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_without_clusters_it_is_nearly_welchs_test(seed: int) -> None:
    draw = np.random.default_rng(seed)
    scores = draw.uniform(size=400)
    inside = draw.uniform(size=400) < 0.3
    found = contrast(scores, inside.tolist(), clusters=None)
    welch = ttest_ind(scores[inside], scores[~inside], equal_var=False)
    assert found.p_value == pytest.approx(float(welch.pvalue), abs=0.05)


@pytest.mark.slow
def test_the_level_is_kept_where_clusters_lie_on_both_sides() -> None:
    # 60 clusters of 5 items with one score each; a random third of the items is the part: nothing differs.
    draw = np.random.default_rng(0)
    clusters = np.repeat(np.arange(60), 5)
    rejected = 0
    for _ in range(2000):
        scores = np.repeat(draw.integers(0, 2, 60), 5).astype(float)
        inside = draw.uniform(size=300) < 1 / 3
        rejected += contrast(scores, inside.tolist(), clusters=clusters.tolist()).p_value <= 0.05
    assert 0.03 <= rejected / 2000 <= 0.065


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(DataError, match="no items"):
        contrast([1.0, 0.0], [True, True], clusters=None)
    with pytest.raises(DataError, match="one cluster"):
        contrast([1.0, 0.0], [True, False], clusters=[3, 3])
    with pytest.raises(DataError, match="2 scores and 1 marks"):
        contrast([1.0, 0.0], [True], clusters=None)


def test_by_hand_where_each_side_agrees_with_itself() -> None:
    # Two wrong of two inside, two right of two outside: one of six ways to deal two wrong ones, and as much on the
    # other side: 1/3, as Fisher's exact test says.
    found = contrast([0, 0, 1, 1], [True, True, False, False], clusters=None)
    assert (found.difference, found.low, found.high) == (-1.0, -1.0, 0.0)
    assert found.p_value == pytest.approx(1 / 3, abs=1e-12)
    assert contrast([1, 1, 1, 1], [True, True, False, False], clusters=None).p_value == 1.0
    assert contrast([0] * 30 + [1] * 30, [True] * 30 + [False] * 30, clusters=None).p_value < 1e-9


def test_one_item_or_one_cluster_does_not_differ_from_the_rest() -> None:
    # One of ten wrong among 100 is the part in a tenth of all deals; twice that.
    scores = [0.0] + [1.0] * 90 + [0.0] * 9
    assert contrast(scores, [True] + [False] * 99, clusters=None).p_value == pytest.approx(0.2, abs=1e-9)
    document = [0.0] * 30 + [1.0] * 270
    clusters = [0] * 30 + [1 + place // 30 for place in range(270)]
    found = contrast(document, [True] * 30 + [False] * 270, clusters=clusters)
    assert found.difference == -1.0
    assert found.p_value == pytest.approx(0.2, abs=1e-9)  # one of ten clusters
    assert found.high == 0.0


def test_a_difference_that_is_only_rounding_is_none() -> None:
    assert contrast([2 / 3] * 233, [True] * 43 + [False] * 190, clusters=None).p_value == 1.0


def test_the_test_where_clusters_lie_on_both_sides_is_the_score_test_by_hand() -> None:
    # Four clusters of two items, one of each inside; scores 0 and 1, 0 and 1, 0 and 1, 1 and 1: the mean is 5/8, and
    # (x - 1/2) (s - 5/8) sums to -1/2 three times and to 0 once. -1.5 over sqrt(4 / 3 * 0.75) = 1 is -1.5 at t(3).
    found = contrast([0, 1, 0, 1, 0, 1, 1, 1], [True, False] * 4, clusters=[0, 0, 1, 1, 2, 2, 3, 3])
    assert found.p_value == pytest.approx(2 * float(student.sf(1.5, 3)), abs=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 3])
def test_a_small_part_at_a_high_score_is_called_weak_by_chance_only(size: int) -> None:
    draw = np.random.default_rng(4)
    clusters = np.repeat(np.arange(600 // size), size)
    inside = (clusters < 30 // size).tolist()
    rejected = 0
    for _ in range(300):
        scores = (draw.random(600 // size) < 0.9)[clusters].astype(float)
        rejected += contrast(scores, inside, clusters=clusters.tolist()).p_value <= 0.05
    assert rejected / 300 <= 0.05 + 2 * (0.05 * 0.95 / 300) ** 0.5


def test_graded_scores_are_dealt_and_a_weak_part_is_found() -> None:
    draw = np.random.default_rng(5)
    scores = draw.random(400)
    inside = [True] * 40 + [False] * 360
    even = exchange_p_value(scores - scores.mean(), np.array(inside))
    assert even == contrast(scores, inside, clusters=None).p_value
    assert 0.05 < even <= 1.0
    scores[:40] *= 0.4
    assert contrast(scores, inside, clusters=None).p_value == pytest.approx(2 / (1 + MOST_DEALS))
