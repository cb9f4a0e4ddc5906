"""A part against the rest: by hand, against Welch, and its level where clusters lie on both sides."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ttest_ind

from pipeline.core.errors import DataError
from pipeline.statistics import contrast


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
    assert found.p_value == pytest.approx(float(welch.pvalue), abs=0.01)


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


def test_where_nothing_varies_only_a_difference_is_significant() -> None:
    assert contrast([1, 1, 1, 1], [True, True, False, False], clusters=None).p_value == 1.0
    assert contrast([0, 0, 1, 1], [True, True, False, False], clusters=None).p_value == 0.0
