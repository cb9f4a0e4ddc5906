from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.errors import DataError
from pipeline.statistics import benjamini_hochberg, holm

P_VALUES = st.lists(st.floats(0.0, 1.0), max_size=12)


def test_holm_by_hand() -> None:
    # Sorted: .01 .02 .03 .04 times 4 3 2 1 are .04 .06 .06 .04; never below the one before: .04 .06 .06 .06.
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06], abs=1e-12)
    # .5 times 2 is 1; .6 times 1 is .6, not below 1.
    assert holm([0.5, 0.6]) == [1.0, 1.0]


def test_benjamini_hochberg_by_hand() -> None:
    # Sorted .01 .02 .03 .2 times 4/1 4/2 4/3 4/4 are .04 .04 .04 .2.
    assert benjamini_hochberg([0.2, 0.01, 0.03, 0.02]) == pytest.approx([0.2, 0.04, 0.04, 0.04], abs=1e-12)
    # .01 * 3 is .03; .04 * 3/2 is .06, above .045 * 3/3, so .045.
    assert benjamini_hochberg([0.01, 0.04, 0.045]) == pytest.approx([0.03, 0.045, 0.045], abs=1e-12)


@given(P_VALUES)
def test_corrected_values_keep_their_order_and_never_fall(p_values: list[float]) -> None:
    for corrected in (holm(p_values), benjamini_hochberg(p_values)):
        assert all(before <= after <= 1.0 for before, after in zip(p_values, corrected, strict=True))
        ranked = [after for _, after in sorted(zip(p_values, corrected, strict=True))]
        assert ranked == sorted(ranked)


@given(P_VALUES)
def test_holm_is_stricter_than_benjamini_hochberg_and_its_smallest_is_bonferronis(p_values: list[float]) -> None:
    assert all(loose <= strict for loose, strict in zip(benjamini_hochberg(p_values), holm(p_values), strict=True))
    if p_values:
        assert min(holm(p_values)) == min(1.0, len(p_values) * min(p_values))


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_what_is_no_p_value_is_refused(value: float) -> None:
    with pytest.raises(DataError, match="is no p-value"):
        holm([0.5, value])
