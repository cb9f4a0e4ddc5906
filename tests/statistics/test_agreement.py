from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats import inter_rater

from pipeline.core.errors import DataError
from pipeline.statistics import Interval, Level, cohen_kappa, fleiss_kappa, krippendorff_alpha

FEW = 400

# Krippendorff (2011), section E: four observers (rows) rate twelve units.
OBSERVERS = (
    (1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None),
    (1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3),
    (None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None),
    (1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None),
)
UNITS = list(zip(*OBSERVERS, strict=True))

# 50 proposals read by two readers: both yes 20, only the first 5, only the second 10, both no 15.
FIRST = ["yes"] * 25 + ["no"] * 25
SECOND = ["yes"] * 20 + ["no"] * 5 + ["yes"] * 10 + ["no"] * 15

# Fleiss' form: ten subjects put by fourteen raters into five categories.
FOURTEEN = [
    [0, 0, 0, 0, 14],
    [0, 2, 6, 4, 2],
    [0, 0, 3, 5, 6],
    [0, 3, 9, 2, 0],
    [2, 2, 8, 1, 1],
    [7, 7, 0, 0, 0],
    [3, 2, 6, 3, 0],
    [2, 5, 3, 2, 2],
    [6, 5, 2, 1, 0],
    [0, 2, 2, 3, 7],
]


def spread(counts: list[int]) -> list[int]:
    return [category for category, count in enumerate(counts) for _ in range(count)]


def estimate(found: Interval | None) -> float:
    assert found is not None
    return found.estimate


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        # The last unit has one rating and pairs with none; of the other 40 ratings n_1..n_5 = 9, 13, 10, 5, 3.
        # Diagonal of the coincidences, k (k - 1) / (m - 1) for k equal ratings of m: ones 6/2 + 6/3 + 2/1 = 7 (units 1,
        # 8, 11), twos 6/3 + 12/3 + 12/3 = 10 (2, 5, 9), threes 4 + 4 (3, 4), fours 4 (7), fives 6/2 (10).
        # alpha = ((n - 1) sum o_cc - sum n_c (n_c - 1)) / (n (n - 1) - sum n_c (n_c - 1))
        #       = (39 * 32 - 344) / (1560 - 344) = 904 / 1216, with 344 = 72 + 156 + 90 + 20 + 6.
        ("nominal", 904 / 1216),
        # Off the diagonal, each pair once: o_12 = o_23 = 4/3, o_13 = o_14 = o_24 = o_34 = 1/3.
        # Interval: sum o d = 4/3 (1 + 1) + 1/3 (4 + 9 + 4 + 1) = 26/3; sum n_c n_k d = 9*13 + 9*10*4 + 9*5*9 + 9*3*16
        # + 13*10 + 13*5*4 + 13*3*9 + 10*5 + 10*3*4 + 5*3 = 117 + 360 + 405 + 432 + 130 + 260 + 351 + 50 + 120 + 15
        # = 2240: alpha = 1 - 39 * (26/3) / 2240 = 1 - 338/2240.
        ("interval", 1 - 338 / 2240),
        # Ordinal: mid-ranks 4.5, 15.5, 27, 34.5, 38.5, so d_12 = 121, d_13 = 506.25, d_14 = 900, d_15 = 1156,
        # d_23 = 132.25, d_24 = 361, d_25 = 529, d_34 = 56.25, d_35 = 132.25, d_45 = 16.
        # sum o d = 4/3 (121 + 132.25) + 1/3 (506.25 + 900 + 361 + 56.25) = 337.6667 + 607.8333 = 945.5;
        # sum n n d = 14157 + 45562.5 + 40500 + 31212 + 17192.5 + 23465 + 20631 + 2812.5 + 3967.5 + 240 = 199740.
        ("ordinal", 1 - 39 * 945.5 / 199740),
    ],
)
def test_alpha_of_krippendorffs_own_example(level: Level, expected: float) -> None:
    found = krippendorff_alpha(UNITS, level=level, resamples=FEW)
    assert found is not None
    assert found.estimate == pytest.approx(expected, abs=1e-12)
    assert found.n == 11  # of twelve units one has a single rating
    assert found.low < found.estimate < found.high <= 1.0
    published = {"nominal": 0.743, "ordinal": 0.815, "interval": 0.849}
    assert round(found.estimate, 3) == published[level]


def test_cohens_kappa_by_hand_and_by_scikit_learn() -> None:
    # Observed agreement 35/50 = 0.7; by chance 0.5 * 0.6 + 0.5 * 0.4 = 0.5: kappa = 0.2 / 0.5.
    found = cohen_kappa(FIRST, SECOND)
    assert found is not None
    assert found.estimate == pytest.approx(0.4, abs=1e-12)
    assert found.estimate == pytest.approx(cohen_kappa_score(FIRST, SECOND), abs=1e-12)


def test_cohens_interval_is_that_of_large_samples() -> None:
    found = cohen_kappa(FIRST * 20, SECOND * 20, resamples=4000)
    known = inter_rater.cohens_kappa(np.array([[20, 5], [10, 15]]) * 20)
    assert found is not None
    assert found.low == pytest.approx(known.kappa_low, abs=0.006)
    assert found.high == pytest.approx(known.kappa_upp, abs=0.006)


def test_fleiss_kappa_by_hand_and_by_statsmodels() -> None:
    # Pbar = 3.780 / 10 and Pe = 0.143^2 + 0.200^2 + 0.279^2 + 0.150^2 + 0.229^2 = 0.213: 0.210 after rounding.
    ratings = [spread(row) for row in FOURTEEN]
    found = estimate(fleiss_kappa(ratings, resamples=FEW))
    assert found == pytest.approx(0.210, abs=5e-4)
    assert found == pytest.approx(inter_rater.fleiss_kappa(np.array(FOURTEEN)), abs=1e-12)
    # Two raters who are exchangeable: 3 of 4 items alike, shares 5/8 and 3/8: 1 - 0.25 / (1 - 34/64) = 7/15.
    assert estimate(fleiss_kappa(["aa", "aa", "bb", "ab"], resamples=FEW)) == pytest.approx(7 / 15, abs=1e-12)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(0, 2)), min_size=3, max_size=12))
def test_other_libraries_and_invariants(ratings: list[tuple[int, int, int]]) -> None:
    first, second, _ = (list(column) for column in zip(*ratings, strict=True))
    if len({*first, *second}) > 1:
        expected = cohen_kappa_score(first, second)
        found = cohen_kappa(first, second, resamples=80)
        assert found is not None and found.low <= found.estimate <= found.high
        assert found.estimate == pytest.approx(expected, abs=1e-9)
    if len({value for item in ratings for value in item}) > 1:
        table, _ = inter_rater.aggregate_raters(np.array(ratings))
        assert estimate(fleiss_kappa(ratings, resamples=80)) == pytest.approx(inter_rater.fleiss_kappa(table), abs=1e-9)
        scaled = [[10.0 * value - 3 for value in item] for item in ratings]
        shuffled = [item[::-1] for item in ratings]
        for level in ("nominal", "ordinal", "interval"):
            plain = estimate(krippendorff_alpha(ratings, level=level, resamples=80))
            assert plain == pytest.approx(estimate(krippendorff_alpha(scaled, level=level, resamples=80)), abs=1e-9)
            assert plain == pytest.approx(estimate(krippendorff_alpha(shuffled, level=level, resamples=80)), abs=1e-9)


def test_agreement_on_everything_is_as_good_as_the_number_of_items() -> None:
    # 20 items, no disagreement, shares 1/2: De = 1/2; Wilson's upper limit for 0 of 20 is z^2 / (20 + z^2) = 0.16113,
    # so the lower limit is 1 - 0.16113 / 0.5 = 0.67774.
    found = cohen_kappa([0, 1] * 10, [0, 1] * 10)
    assert found is not None
    assert (found.estimate, found.high) == (1.0, 1.0)
    assert found.low == pytest.approx(0.67774, abs=1e-5)


def test_items_of_one_document_count_less() -> None:
    alone = cohen_kappa(FIRST, SECOND, resamples=2000)
    doubled = cohen_kappa(FIRST * 2, SECOND * 2, clusters=[*range(50)] * 2, resamples=2000)
    naive = cohen_kappa(FIRST * 2, SECOND * 2, resamples=2000)
    assert alone is not None and doubled is not None and naive is not None
    assert doubled.high - doubled.low == pytest.approx(alone.high - alone.low, rel=0.1)
    assert naive.high - naive.low < 0.8 * (doubled.high - doubled.low)


def test_a_rater_of_one_category_bounds_nothing() -> None:
    # Observed agreement 3/4 is what chance gives to somebody who always says yes: kappa is 0 in every resample.
    found = cohen_kappa(["yes"] * 20, (["yes"] * 3 + ["no"]) * 5, resamples=FEW)
    assert found is not None
    assert (found.estimate, found.low, found.high) == (pytest.approx(0.0, abs=1e-12), -1.0, 1.0)


def test_one_category_alone_states_nothing() -> None:
    assert cohen_kappa(["a", "a"], ["a", "a"]) is None
    assert fleiss_kappa([["a", "a"], ["a", "a"]]) is None
    assert krippendorff_alpha([[1, 1], [1, None, 1]]) is None


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(DataError, match="of the other"):
        cohen_kappa(["a"], [])
    with pytest.raises(DataError, match="same number of ratings"):
        fleiss_kappa([["a", "b"], ["a"]])
    with pytest.raises(DataError, match="no item was rated twice"):
        krippendorff_alpha([[1, None], [None, 2]])
    with pytest.raises(DataError, match="not a finite"):
        krippendorff_alpha([[1, float("nan")], [1, 2]])
