from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.errors import ConfigError, DataError
from pipeline.statistics import MeanExceeds
from pipeline.statistics.betting import BETS


def test_the_capital_of_two_bets_by_hand() -> None:
    test = MeanExceeds(bound=0.0)
    # Shares are .98 / 2^k for k = 0..9, which sum to .98 * (2 - 2^-9) = 1.9580859375, and their squares to
    # .9604 * (4/3) * (1 - 4^-10) = 1.2805321. A gain of 1 leaves 1 + share, a second one (1 + share)^2.
    test.add(1.0)
    assert test.e_value == pytest.approx(1 + 1.9580859375 / 10, rel=1e-12)
    test.add(1.0)
    assert test.e_value == pytest.approx(1 + 2 * 1.9580859375 / 10 + 1.2805321 / 10, rel=1e-7)
    # A loss of 1 then leaves each capital (1 + share)^2 (1 - share).
    before = list(test.capitals)
    test.add(-1.0)
    assert test.capitals[0] == pytest.approx(before[0] * 0.02, rel=1e-12)
    assert test.p_value == pytest.approx(1 / test.largest)
    assert test.largest > test.e_value


def test_a_bound_moves_what_counts_as_a_gain() -> None:
    test = MeanExceeds(bound=0.25)
    test.add(0.25)
    assert test.capitals == [1.0] * BETS
    test.add(-1.0)
    assert min(test.capitals) == pytest.approx(0.02)  # 1 - .98 / 1.25 * 1.25: the largest bet is never ruined


@given(st.lists(st.floats(-1.0, 1.0), max_size=50), st.floats(-0.9, 0.9))
def test_capital_stays_positive_and_its_record_only_grows(values: list[float], bound: float) -> None:
    test, record = MeanExceeds(bound=bound), 1.0
    for value in values:
        test.add(value)
        assert all(capital > 0.0 for capital in test.capitals)
        assert test.largest >= record
        record = test.largest
    assert 0.0 < test.p_value <= 1.0
    assert test.n == len(values)


def test_the_mean_capital_stays_one_where_the_mean_is_the_bound() -> None:
    # The exact expectation over all 2^8 sequences of a fair coin of +-1 is 1 (a martingale), whatever the bets.
    total = 0.0
    for sequence in range(2**8):
        test = MeanExceeds()
        for place in range(8):
            test.add(1.0 if sequence >> place & 1 else -1.0)
        total += test.e_value
    assert total / 2**8 == pytest.approx(1.0, rel=1e-12)


def test_it_is_wrong_no_more_often_than_its_level_however_often_one_looks() -> None:
    wrong = 0
    for seed in range(400):
        draws, test = random.Random(seed), MeanExceeds(alpha=0.05)
        for _ in range(500):
            test.add(draws.choice((-1.0, 0.0, 0.0, 1.0)))
        wrong += test.shown
    assert wrong <= 400 * 0.05 + 3 * (400 * 0.05 * 0.95) ** 0.5


def test_a_mean_above_the_bound_is_found() -> None:
    draws, test = random.Random(1), MeanExceeds(bound=0.01)
    while not test.shown:
        test.add(float(draws.random() < 0.1))
        assert test.n < 400


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(DataError, match="does not lie in"):
        MeanExceeds().add(1.5)
    with pytest.raises(DataError, match="no bound"):
        MeanExceeds(bound=1.0)
    with pytest.raises(ConfigError):
        MeanExceeds(alpha=0.0)
