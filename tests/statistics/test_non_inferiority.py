"""The non-inferiority decision by hand and by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import t

from pipeline.core.errors import ConfigError, DataError
from pipeline.statistics import least_items, non_inferiority


def test_bound_by_hand() -> None:
    # 48 items, 26 won, 4 lost. With one won and one lost added: (27 - 5) / 50 = 0.44; the mean of squares is
    # (27 + 5) / 50 = 0.64, so the variance is (0.64 - 0.44^2) 50 / 49 and the error its root over sqrt(50).
    # (Bonett & Price's own error, without 50 / 49, is sqrt(0.4464 / 50) = 0.0944881.)
    result = non_inferiority([1] * 26 + [0] * 22, [0] * 26 + [1] * 4 + [0] * 18, margin=0.1)
    error = (0.4464 * 50 / 49 / 50) ** 0.5
    assert result.low == pytest.approx(0.44 - t.isf(0.05, 47) * error, abs=1e-12)
    assert result.p_value == pytest.approx(t.sf(0.54 / error, 47), rel=1e-9)
    assert result.difference == pytest.approx(22 / 48, abs=1e-12)


def test_agreement_on_few_items_proves_little() -> None:
    # n equal items: estimate 0, variance 2 / (n + 2) (n + 2) / (n + 1), error sqrt(2 / ((n + 1) (n + 2))).
    few, many = [1, 0] * 10, [1, 0] * 200
    result = non_inferiority(few, few, margin=0.05)
    assert result.low == pytest.approx(-t.isf(0.05, 19) * (2 / (21 * 22)) ** 0.5, abs=1e-12)
    assert not result.non_inferior
    assert non_inferiority(many, many, margin=0.05).non_inferior


def test_the_fewest_items_by_hand() -> None:
    # A margin of 0.02 needs t sqrt(2 / ((n + 1) (n + 2))) < 0.02. The one-sided 5% quantile of Student's t is
    # 1.65833 with 114 degrees of freedom and 1.65821 with 115:
    # n = 115: 1.65833 sqrt(2 / (116 * 117)) = 1.65833 * 0.0121393 = 0.020131, too much;
    # n = 116: 1.65821 sqrt(2 / (117 * 118)) = 1.65821 * 0.0120360 = 0.019958, enough.
    assert least_items(0.02) == 116
    # With two items t at one degree of freedom is 6.3138, and 6.3138 sqrt(2 / 12) = 2.58 is above every margin;
    # three items: 2.9200 sqrt(2 / 20) = 0.9234; four: 2.3534 sqrt(2 / 30) = 0.6076.
    assert (least_items(0.95), least_items(0.9), least_items(0.61)) == (3, 4, 4)


@pytest.mark.parametrize(("margin", "alpha"), [(0.01, 0.05), (0.03, 0.05), (0.05, 0.01), (0.2, 0.1), (0.9, 0.05)])
def test_the_fewest_items_are_those_at_which_agreement_passes(margin: float, alpha: float) -> None:
    least = least_items(margin, alpha=alpha)
    assert non_inferiority([1] * least, [1] * least, margin=margin, alpha=alpha).non_inferior
    assert not non_inferiority([1] * (least - 1), [1] * (least - 1), margin=margin, alpha=alpha).non_inferior


def test_agreement_in_few_clusters_proves_little() -> None:
    scores = [1, 0] * 200
    clusters = [i // 100 for i in range(400)]
    result = non_inferiority(scores, scores, margin=0.05, clusters=clusters)
    # Four clusters of 100: as four equal items, with t of 3 degrees of freedom.
    assert result.low == pytest.approx(-t.isf(0.05, 3) * (2 / (5 * 6)) ** 0.5, abs=1e-12)
    assert not result.non_inferior


@given(
    st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=2, max_size=30),
    st.floats(0.01, 0.4),
    st.floats(0.01, 0.4),
)
@settings(deadline=None)
def test_bound_decision_and_p_value_agree(pairs: list[tuple[float, float]], margin: float, more: float) -> None:
    first, second = zip(*pairs, strict=True)
    result = non_inferiority(first, second, margin=margin)
    assert -1.0 <= result.low <= 1.0
    assert result.non_inferior == (result.low > -margin)
    assert result.non_inferior == (result.p_value < 0.05) or result.low == pytest.approx(-margin, abs=1e-9)
    if result.non_inferior:
        assert non_inferiority(first, second, margin=margin + more).non_inferior


@pytest.mark.parametrize("clustered", [False, True])
def test_level_and_power(clustered: bool) -> None:
    """A variant exactly the margin worse passes at most 6.5% of 800 times; an equal one nearly always."""
    generator = np.random.default_rng(21)
    units, size = (150, 4) if clustered else (600, 1)
    clusters = np.repeat(np.arange(units), size)
    passed = {0.05: 0, 0.0: 0}
    for loss in passed:
        for _ in range(800):
            # Discordant 10% of the time: lost (0.1 + loss) / 2, won (0.1 - loss) / 2, alike within a cluster.
            draw = generator.random(units)[clusters]
            difference = np.where(draw < (0.1 + loss) / 2, -1, np.where(draw > 1 - (0.1 - loss) / 2, 1, 0))
            parent = np.where(difference < 0, 1, 0)
            result = non_inferiority(
                parent + difference, parent, margin=0.05, clusters=clusters.tolist() if clustered else None
            )
            passed[loss] += result.non_inferior
    assert passed[0.05] / 800 <= 0.065
    assert passed[0.0] / 800 >= (0.5 if clustered else 0.95)


def test_refusals() -> None:
    with pytest.raises(ConfigError, match=r"margin: 1\.0 is not a margin"):
        least_items(1.0)
    with pytest.raises(ConfigError, match="margin"):
        non_inferiority([1, 0], [1, 0], margin=0.0)
    with pytest.raises(DataError, match=r"outside \[0, 1\]"):
        non_inferiority([1, 2], [1, 0], margin=0.1)
    with pytest.raises(DataError, match="one item"):
        non_inferiority([1], [1], margin=0.1)
