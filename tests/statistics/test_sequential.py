from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.errors import ConfigError, DataError
from pipeline.statistics import MeanSequence, TwoRates


def test_the_e_value_of_four_pairs_by_hand() -> None:
    rates = TwoRates(alpha=0.05)
    # With 0.18 successes and failures added, the rates after n pairs (1, 0) are (n + .18) / (n + .36) and one minus
    # that, their mean 1/2. Each pair multiplies the e-value by (rate / .5)^2: 1, 1.735294^2, 1.847458^2, 1.892857^2.
    expected = [1.0, 3.011246, 10.277692, 36.824188]
    for number, value in enumerate(expected):
        assert not rates.different
        rates.add(True, False)
        assert (rates.pairs, rates.e_value) == (number + 1, pytest.approx(value, rel=1e-5))
    assert rates.different
    assert rates.p_value == pytest.approx(1 / 36.824188, rel=1e-5)


def test_what_was_once_shown_stays_shown() -> None:
    rates = TwoRates()
    for _ in range(6):
        rates.add(True, False)
    largest = rates.e_value
    for _ in range(6):
        rates.add(False, True)
    assert rates.e_value < largest == rates.largest
    assert rates.different


@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=60))
def test_streams_may_be_swapped(pairs: list[tuple[bool, bool]]) -> None:
    one, other = TwoRates(), TwoRates()
    for first, second in pairs:
        one.add(first, second)
        other.add(second, first)
    assert one.e_value == pytest.approx(other.e_value)
    assert 0.0 < one.p_value <= 1.0


def test_pairs_that_agree_say_nothing() -> None:
    rates = TwoRates()
    for _ in range(100):
        rates.add(True, True)
        assert rates.e_value == pytest.approx(1.0)


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=80))
def test_a_confidence_sequence_only_ever_narrows(values: list[float]) -> None:
    sequence, before = MeanSequence(), (0.0, 1.0)
    for value in values:
        sequence.add(value)
        assert before[0] <= sequence.low and sequence.high <= before[1]
        before = (sequence.low, sequence.high)
    assert sequence.n == len(values)


def test_a_mean_is_closed_in_on() -> None:
    sequence = MeanSequence()
    for number in range(4000):
        sequence.add(float(number % 4 == 0))
    assert sequence.low < 0.25 < sequence.high
    assert sequence.high - sequence.low < 0.08


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(DataError, match="does not lie in"):
        MeanSequence().add(1.5)
    with pytest.raises(ConfigError):
        TwoRates(alpha=1.0)
