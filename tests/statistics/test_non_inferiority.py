"""The non-inferiority decision by hand and by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, t

from pipeline.core.errors import ConfigError, DataError
from pipeline.statistics import least_items, non_inferiority


def test_the_adjusted_wald_bound_by_hand() -> None:
    # 48 items, 26 won, 4 lost. With one won and one lost added: (27 - 5) / 50 = 0.44; the mean of squares is
    # (27 + 5) / 50 = 0.64, so the variance is (0.64 - 0.44^2) 50 / 49 and the error its root over sqrt(50).
    # (Bonett & Price's own error, without 50 / 49, is sqrt(0.4464 / 50) = 0.0944881.)
    result = non_inferiority([1] * 26 + [0] * 22, [0] * 26 + [1] * 4 + [0] * 18, margin=0.1)
    error = (0.4464 * 50 / 49 / 50) ** 0.5
    assert result.low == pytest.approx(0.44 - t.isf(0.05, 47) * error, abs=1e-12)
    # The score test is less sure: 96 q^2 + ((96 - 26 + 4) (-0.1) - 30) q + 4 * 0.1 * 1.1 = 0 at q = 0.377440, the
    # variance is 48 (2 q - 0.11) = 30.95424, and z = (22 + 4.8) / 5.563653 = 4.816980.
    assert result.p_value == pytest.approx(t.sf(4.816980, 47), rel=1e-4)
    assert result.difference == pytest.approx(22 / 48, abs=1e-12)


def test_the_score_bound_decides_where_items_are_only_lost() -> None:
    # With none won, the score under the loss d is (n d - lost) / sqrt(n d (1 - d)), the test of one proportion: for 5
    # of 400 at d = 0.025 it is 5 / sqrt(9.75) = 1.601282. With one won and one lost added, adjusted Wald's center is
    # -5 / 402 and its error sqrt(402 / 401 (7 - 25 / 402)) / 402 = 0.0065614; (0.025 - 0.012438) / 0.0065614 = 1.9146.
    result = non_inferiority([0] * 5 + [1] * 395, [1] * 400, margin=0.025)
    assert result.p_value == pytest.approx(t.sf(1.601282, 399), rel=1e-5)
    assert not result.non_inferior


def test_agreement_on_few_items_proves_little() -> None:
    # None lost of n: the true share is at most 1 - 0.05^(1 / n), that of Clopper and Pearson.
    few, many = [1, 0] * 10, [1, 0] * 200
    result = non_inferiority(few, few, margin=0.05)
    assert result.low == pytest.approx(0.05 ** (1 / 20) - 1, abs=1e-12)
    assert result.p_value == pytest.approx(0.95**20, abs=1e-12)
    assert not result.non_inferior
    assert non_inferiority(many, many, margin=0.05).non_inferior


def test_the_fewest_items_by_hand() -> None:
    # ln 0.05 = -2.995732; over ln 0.98 = -0.0202027 it is 148.28, over ln 0.9 = -0.1053605 28.43.
    assert (least_items(0.02), least_items(0.1)) == (149, 29)
    # Two and three items are decided by the adjusted Wald bound: with t at one degree of freedom 6.3138 sqrt(2 / 12) is
    # 2.58, above every margin; three items 2.9200 sqrt(2 / 20) = 0.9234; four 2.3534 sqrt(2 / 30) = 0.6076.
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
    # Four clusters of 100: as four equal items, with t of 3 degrees of freedom and 2.353363 sqrt(2 / (5 * 6)) = 0.6076;
    # the score bound z^2 / (n + z^2) is 5.538 / 9.538 = 0.5806, the exact one 1 - 0.05^(1 / 4) = 0.5271.
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


@pytest.mark.parametrize(("margin", "n"), [(0.02, 200), (0.02, 400), (0.1, 100), (0.05, 150)])
@pytest.mark.parametrize("won", [0.0, 0.01])
def test_the_level_at_small_margins_is_exact(margin: float, n: int, won: float) -> None:
    """A variant worse by the margin passes by chance only: the probabilities of all outcomes that pass add up."""
    lost = won + margin
    outcomes = [(b, c) for c in range(int(n * lost) + 1) for b in range(8)]
    passed = sum(
        binom.pmf(c, n, lost) * binom.pmf(b, n - c, won / (1 - lost))
        for b, c in outcomes
        if non_inferiority([1] * b + [0] * c + [1] * (n - b - c), [0] * b + [1] * (n - b), margin=margin).non_inferior
    )
    assert 0.005 < passed <= 0.06


@pytest.mark.slow
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
