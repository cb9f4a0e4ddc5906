"""The score test of paired proportions: by hand, and against the exact bound that it comes near."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.statistics.tango import effective_counts, tango_lower, tango_statistic


def test_the_statistic_by_hand() -> None:
    # 10 items, 1 won, 3 lost, a difference of -0.5: 20 q^2 + ((20 - 1 + 3) (-0.5) - 4) q + 3 * 0.5 * 1.5 = 0, so
    # q = (15 + sqrt(225 - 180)) / 40 = 0.5427051; the variance is 10 (2 q - 0.5 * 1.5) = 3.354102, and
    # z = (1 - 3 + 5) / sqrt(3.354102) = 1.638073.
    assert tango_statistic(1, 3, 10, -0.5) == pytest.approx(1.638073, abs=1e-6)


def test_it_is_mcnemars_statistic_at_0() -> None:
    # (b - c) / sqrt(b + c)
    assert tango_statistic(9, 4, 100, 0.0) == pytest.approx(5 / 13**0.5, abs=1e-12)
    assert tango_statistic(0, 0, 100, 0.0) == 0.0


def test_full_agreement_has_wilsons_bound() -> None:
    # With none won or lost q is d, so z = sqrt(n d / (1 - d)), which is z at d = z^2 / (n + z^2).
    z2 = 1.644854**2
    assert tango_lower(0, 0, 100, z=1.644854) == pytest.approx(-z2 / (100 + z2), abs=1e-9)


@given(st.integers(2, 500), st.data())
def test_the_bound_is_where_the_statistic_reaches_its_quantile(n: int, data: st.DataObject) -> None:
    won = data.draw(st.integers(0, n))
    lost = data.draw(st.integers(0, n - won))
    low = tango_lower(won, lost, n, z=1.645)
    assert -1.0 <= low <= (won - lost) / n
    if low > -1.0 + 1e-9:
        assert float(tango_statistic(won, lost, n, low - 1e-9)) >= 1.645 - 1e-4
        assert float(tango_statistic(won, lost, n, min(low + 1e-9, (won - lost) / n))) <= 1.645 + 1e-4


def test_effective_counts_by_hand() -> None:
    # Clusters of 2 that agree, 4 won and 2 lost of 20 items: the sums are 2, 2, -2 and seven 0, the mean 0.1, and the
    # squared residuals 1.8^2 * 2 + 2.2^2 + 7 * 0.2^2 = 11.6; the variance is 10 / 9 * 11.6 / 20^2 = 0.0322222. Of 20
    # independent items it were (0.3 - 0.01) / 19 = 0.0152632: a design effect of 2.111111.
    sums = np.array([2.0, 2.0, -2.0] + [0.0] * 7)
    found = effective_counts(sums, np.full(10, 2.0), 4.0, 2.0)
    assert found == pytest.approx((4 / 2.111111, 2 / 2.111111, 20 / 2.111111), abs=1e-5)


def test_clusters_that_differ_nowhere_count_as_one_item_each() -> None:
    assert effective_counts(np.zeros(4), np.full(4, 25.0), 0.0, 0.0) == (0.0, 0.0, 4.0)
    # One cluster of 97 and three of one item are worth 100^2 / (97^2 + 3) items.
    assert effective_counts(np.zeros(4), np.array([97.0, 1, 1, 1]), 0.0, 0.0)[2] == pytest.approx(1.0625, abs=1e-3)
