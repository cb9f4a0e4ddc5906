from __future__ import annotations

import pytest

from pipeline.core.errors import ConfigError, DataError
from pipeline.statistics import equivalence, non_inferiority


def test_agreement_on_every_item_is_as_good_as_the_number_of_items() -> None:
    # 100 items that agree: the exact bound of none in 100 is 1 - 0.05^(1 / 100) = 0.029513.
    same = [1.0] * 60 + [0.0] * 40
    result = equivalence(same, same, margin=0.03)
    assert (result.low, result.high) == (pytest.approx(-0.029513, abs=1e-6), pytest.approx(0.029513, abs=1e-6))
    assert result.equivalent and result.p_value < 0.05
    assert not equivalence(same, same, margin=0.02).equivalent


def test_better_by_more_than_the_margin_is_not_the_same() -> None:
    first, second = [1.0] * 90 + [0.0] * 10, [1.0] * 70 + [0.0] * 30
    assert non_inferiority(first, second, margin=0.1).non_inferior
    result = equivalence(first, second, margin=0.1)
    assert result.difference == pytest.approx(0.2, abs=1e-12)
    assert not result.equivalent and result.p_value > 0.5


def test_sides_may_be_swapped() -> None:
    first, second = [1.0, 0.0, 1.0, 1.0] * 20, [1.0, 1.0, 1.0, 0.0] * 20
    one, other = equivalence(first, second, margin=0.2), equivalence(second, first, margin=0.2)
    assert (one.low, one.high, one.p_value) == pytest.approx((-other.high, -other.low, other.p_value), abs=1e-12)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ConfigError, match="is not a margin"):
        equivalence([1.0, 0.0], [1.0, 0.0], margin=0.0)
    with pytest.raises(DataError, match="outside"):
        equivalence([2.0, 0.0], [1.0, 0.0], margin=0.1)
