from __future__ import annotations

import math

import pytest

from pipeline.core.errors import DataError
from pipeline.statistics import seeds_effect


def test_seeds_that_differ_leave_one_degree_of_freedom() -> None:
    # Means by seed .1 and .3, all items alike: MS of seeds 4 (.01 + .01) = .08, of items and residual 0. The variance
    # is .08 / 8 = .01, so t = .2 / .1 = 2 on 1 degree of freedom: p = 2 (1/2 - atan(2) / pi).
    result = seeds_effect([[0.1] * 4, [0.3] * 4], [0.0] * 4)
    assert result.difference == pytest.approx(0.2, abs=1e-12)
    assert result.p_value == pytest.approx(1 - 2 * math.atan(2) / math.pi, abs=1e-12)
    assert (result.freedom, result.between_units) == (1.0, 0.0)
    assert result.between_seeds == pytest.approx(math.sqrt(0.02), abs=1e-12)


def test_one_item_of_four_that_one_seed_wins() -> None:
    # Differences 1 0 / 0 0: all three mean squares are .25, so the variance is .25 / 4, t = .25 / .25 = 1 on 1 degree
    # of freedom (p = 1/2), and t(.975, 1) = tan(.475 pi) = 12.706205.
    result = seeds_effect([[1, 0], [0, 0]], [0, 0])
    assert result.p_value == pytest.approx(0.5, abs=1e-12)
    assert result.high == pytest.approx(0.25 + 0.25 * math.tan(0.475 * math.pi), abs=1e-9)
    assert (result.between_seeds, result.between_units) == (0.0, 0.0)


def test_items_that_differ_count_as_items_do() -> None:
    # Both seeds alike: MS of items 2 (4 * .25) / 3 = 2/3, of seeds and residual 0; variance (2/3) / 8 = 1/12, df 3.
    result = seeds_effect([[1, 0, 1, 0]] * 2, [0.0] * 4)
    assert (result.freedom, result.between_seeds) == (3.0, 0.0)
    assert (result.high - result.difference) / 3.182446 == pytest.approx(math.sqrt(1 / 12), abs=1e-6)


def test_the_baseline_is_taken_off_and_clusters_are_units_by_their_size() -> None:
    one = seeds_effect([[1, 1, 0], [1, 1, 1]], [0, 1, 0], clusters=["a", "a", "b"])
    assert (one.seeds, one.units) == (2, 2)
    # Items: 1 0 0 and 1 0 1, so 3 of 6.
    assert one.difference == pytest.approx(0.5, abs=1e-12)


def test_no_difference_at_all_is_not_certain_on_three_items() -> None:
    # Adjusted Wald of three items, one won and one lost added: 5 / 4 * 2 / 5^2, and t(0.975, 2) = 4.302653.
    result = seeds_effect([[1, 0, 1]] * 3, [1, 0, 1])
    half = 4.302653 * 0.1**0.5
    assert (result.difference, result.p_value) == (0.0, 1.0)
    assert (result.low, result.high) == (pytest.approx(-half, abs=1e-6), pytest.approx(half, abs=1e-6))


@pytest.mark.parametrize(
    ("candidates", "baseline", "told"),
    [
        ([[1, 0]], [0, 0], "there are 1 seeds"),
        ([[1], [1]], [0], "there is one item"),
        ([[1, 0], [1]], [0, 0], "seed 1 has 1 scores and the baseline 2"),
        ([[1, 0], [1, float("nan")]], [0, 0], "scores of seed 1: item 1 is nan"),
    ],
)
def test_what_cannot_be_compared_is_refused(candidates: list[list[float]], baseline: list[float], told: str) -> None:
    with pytest.raises(DataError, match=told):
        seeds_effect(candidates, baseline)
