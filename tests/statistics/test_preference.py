from __future__ import annotations

import pytest

from pipeline.core.errors import DataError
from pipeline.statistics import exact_mcnemar, win_rate


def test_ties_count_half_and_the_sign_test_leaves_them_out() -> None:
    # 8 wins, 2 losses, 5 ties: (8 + 2.5) / 15 = 0.7; P(X <= 2 of 10) * 2 = 2 (1 + 10 + 45) / 1024 = 0.109375.
    found = win_rate(["win"] * 8 + ["loss"] * 2 + ["tie"] * 5)
    assert (found.wins, found.losses, found.ties, found.n) == (8, 2, 5, 15)
    assert found.estimate == pytest.approx(0.7, abs=1e-12)
    assert found.p_value == pytest.approx(0.109375, abs=1e-12)
    assert found.p_value == pytest.approx(exact_mcnemar(8, 2), abs=1e-15)
    assert found.test == "exact sign test"
    assert found.low <= 0.5 < found.estimate < found.high <= 1.0


def test_the_other_side_has_the_rest() -> None:
    outcomes = ["win"] * 30 + ["loss"] * 11 + ["tie"] * 9
    swapped = ["loss"] * 30 + ["win"] * 11 + ["tie"] * 9
    one, other = win_rate(outcomes), win_rate(swapped)
    assert (one.estimate, one.low, one.high) == pytest.approx((1 - other.estimate, 1 - other.high, 1 - other.low))
    assert one.p_value == other.p_value < 0.05


def test_copies_of_an_item_add_nothing() -> None:
    outcomes = ["win"] * 9 + ["loss"]
    alone = win_rate(outcomes)
    copied = win_rate(outcomes * 4, clusters=[*range(10)] * 4)
    # The exact cluster sign-flip test of ten equal units is the sign test of ten items: 2 * 11 / 1024.
    assert copied.p_value == pytest.approx(alone.p_value, abs=1e-12) == pytest.approx(22 / 1024, abs=1e-12)
    assert copied.clusters == 10
    assert win_rate(outcomes * 4).p_value < 0.001


def test_ties_alone_show_nothing_either_way() -> None:
    found = win_rate(["tie"] * 20)
    assert (found.estimate, found.p_value) == (0.5, 1.0)
    assert found.low < 0.5 < found.high


def test_one_independent_item_shows_nothing() -> None:
    found = win_rate(["win", "win"], clusters=[1, 1])
    assert (found.low, found.high, found.p_value) == (0.0, 1.0, 1.0)
    with pytest.raises(DataError):
        win_rate([])
