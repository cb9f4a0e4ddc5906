"""Permutation of units between two samples, against values derived by hand and scipy's exact tests."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import fisher_exact

from pipeline.core.errors import DataError
from pipeline.statistics.two_sample import MOST_DEALS, dealt_p_value, mean_p_value, more_often_p_value, unit_part


def test_a_perfect_separation_has_the_smallest_p_value() -> None:
    values = np.arange(40, dtype=np.float32)
    second = values >= 20
    statistic, p_value = dealt_p_value(lambda deals: (deals @ values).astype(float), second)
    # 20 + 21 + ... + 39 = 590. One deal of comb(40, 20) = 1.4e11 is as extreme, so none of 1,999 is, and p = 1 / 2000.
    assert statistic == 590
    assert p_value == 1 / (1 + MOST_DEALS)


def test_a_small_permutation_distribution_is_met() -> None:
    values = np.arange(6, dtype=np.float32)
    second = np.array([False, False, False, False, True, True])
    # Of the 15 pairs of 0..5 only {4, 5} sums to 9 or more: p = 1/15. 1,999 deals have a standard error of .0056.
    p_value = dealt_p_value(lambda deals: (deals @ values).astype(float), second, seed=3)[1]
    assert abs(p_value - 1 / comb(6, 2)) < 0.02


def test_what_is_not_extreme_is_dealt_seldom() -> None:
    dealt = []

    def statistic(deals: np.ndarray) -> np.ndarray:
        dealt.append(len(deals))
        return np.zeros(len(deals))

    assert dealt_p_value(statistic, np.arange(10) < 4)[1] == 1.0
    assert dealt == [1, 200]


def test_under_the_null_p_values_hold_their_level() -> None:
    generator = np.random.default_rng(5)
    second = np.arange(60) >= 40
    found = []
    for seed in range(400):
        values = generator.exponential(size=60).astype(np.float32)
        found.append(dealt_p_value(lambda deals, v=values: (deals @ v).astype(float), second, seed=seed)[1])
    # 400 draws at level .05: mean 20, standard deviation 4.4; 36 is 3.7 of those above, 6 as many below.
    assert 6 <= sum(p <= 0.05 for p in found) <= 36


@given(st.integers(0, 12), st.integers(0, 12), st.integers(13, 20), st.integers(13, 20))
@settings(deadline=None, max_examples=50)
def test_single_rows_are_fishers_exact_test(before: int, now: int, first: int, second: int) -> None:
    happened = np.array([True] * before + [False] * (first - before) + [True] * now + [False] * (second - now))
    side = np.arange(first + second) >= first
    p_value = more_often_p_value(happened, side, np.arange(first + second))
    table = [[now, second - now], [before, first - before]]
    assert p_value == pytest.approx(fisher_exact(table, alternative="greater").pvalue, rel=1e-9)


def test_rows_of_one_user_count_as_one() -> None:
    """Ten errors of one user are one piece of evidence; of ten users they are ten."""
    happened = np.array([False] * 40 + [True] * 10 + [False] * 30)
    side = np.arange(80) >= 40
    alone = more_often_p_value(happened, side, np.arange(80))
    one_user = np.concatenate([np.arange(40), np.full(10, 40), np.arange(41, 71)])
    together = more_often_p_value(happened, side, one_user)
    # Which side the one unit of ten falls on is all that is left: about 31 of 71 units are of the second sample.
    assert alone < 0.001
    assert abs(together - 31 / 71) < 0.1


def test_a_mean_is_compared_one_sided() -> None:
    values = np.array([0.0, 1.0] * 20 + [1.0] * 40)
    side, units = np.arange(80) >= 40, np.arange(80)
    assert mean_p_value(values, side, units) == 1 / (1 + MOST_DEALS)
    assert mean_p_value(-values, side, units) > 0.9


def test_the_same_seed_gives_the_same_p_value() -> None:
    values = np.random.default_rng(1).normal(size=50).astype(np.float32)
    second = np.arange(50) < 20
    each = [dealt_p_value(lambda deals: (deals @ values).astype(float), second, seed=7)[1] for _ in range(2)]
    assert each[0] == each[1]


def test_an_empty_sample_is_refused() -> None:
    for second in (np.zeros(5, dtype=bool), np.ones(5, dtype=bool)):
        with pytest.raises(DataError, match="one of the two samples is empty"):
            dealt_p_value(lambda deals: np.zeros(len(deals)), second)


def test_units_are_of_the_side_of_their_items() -> None:
    assert unit_part(np.array([False, False, True, True]), np.array([0, 0, 1, 2])).tolist() == [False, True, True]
