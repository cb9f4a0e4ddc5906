"""The interval of two models on the same items: by hand, against the exact test, and its coverage by enumeration."""

from __future__ import annotations

from itertools import product
from math import comb

import pytest

from pipeline.statistics import compare, exact_mcnemar
from pipeline.statistics.paired_interval import adjusted_wald_limits, discordant_limits

Z2 = 1.959963985**2


def test_models_that_agree_on_every_item_may_still_differ() -> None:
    # No discordant item says nothing of its direction, so the limits are Wilson's of 0 in n: +-z^2 / (n + z^2).
    low, high = discordant_limits(0, 0, 800, alpha=0.05)
    assert high == -low == pytest.approx(Z2 / (800 + Z2), abs=1e-9)


def test_models_that_differ_on_every_item_have_an_interval_with_a_width() -> None:
    low, high = discordant_limits(0, 179, 179, alpha=0.05)
    assert low == -1.0
    # With all of z on the direction: q is at most 1 - 0.025^(1/179); with all on the share: that is at least
    # n / (n + z^2), and the median of q is 1 - 0.5^(1/179). The limit is the widest of all splits.
    direction = 1 - 2 * 0.025 ** (1 / 179)
    share = 179 / (179 + Z2) * (1 - 2 * 0.5 ** (1 / 179))
    assert high >= max(direction, share)
    assert high == pytest.approx(max(direction, share), abs=0.02)


def test_many_discordant_items_have_the_interval_of_the_normal_approximation() -> None:
    # (300 - 200) / 1000, standard error sqrt((500 - 100^2 / 1000) / 1000^2) = 0.022136
    low, high = discordant_limits(300, 200, 1000, alpha=0.05)
    assert (low, high) == pytest.approx((0.1 - 1.96 * 0.022136, 0.1 + 1.96 * 0.022136), abs=0.002)


@pytest.mark.slow
@pytest.mark.parametrize("alpha", [0.05, 0.001])
def test_zero_is_excluded_exactly_where_mcnemar_rejects(alpha: float) -> None:
    for won, lost in product(range(26), range(26)):
        low, high = discordant_limits(won, lost, 60, alpha=alpha)
        assert (low > 0 or high < 0) == (exact_mcnemar(won, lost) <= alpha), (won, lost)
        assert low <= (won - lost) / 60 <= high
        assert (-high, -low) == pytest.approx(discordant_limits(lost, won, 60, alpha=alpha), abs=1e-12)


@pytest.mark.parametrize("n", [12, 20])
def test_the_interval_holds_its_level_whatever_the_truth(n: int) -> None:
    outcomes = [(won, lost) for won, lost in product(range(n + 1), repeat=2) if won + lost <= n]
    limits = {outcome: discordant_limits(*outcome, n, alpha=0.05) for outcome in outcomes}
    for better, worse in product((0.01, 0.05, 0.2, 0.4, 0.6, 0.9), repeat=2):
        if better + worse > 1:
            continue
        covered = sum(
            comb(n, won)
            * comb(n - won, lost)
            * better**won
            * worse**lost
            * max(0.0, 1 - better - worse) ** (n - won - lost)
            for (won, lost), (low, high) in limits.items()
            if low <= better - worse <= high
        )
        assert covered >= 0.95, (better, worse)


def test_clusters_that_agree_have_the_adjusted_wald_interval() -> None:
    # Four clusters of two items, a won and a lost one added: sums (0, 0, 0, 0, 2, -2), sizes of 2, 12 items. The
    # standard error is sqrt(6 / 5 * 8 / 12^2) and t(0.975, 3) is 3.182446.
    scores, clusters = [0, 1, 1, 0, 1, 1, 0, 0], list("aabbccdd")
    result = compare(scores, scores, clusters=clusters)
    assert result.high == -result.low == pytest.approx(3.182446 * (6 / 5 * 8 / 144) ** 0.5, abs=1e-6)
    assert result.interval_method == "adjusted Wald (Bonett-Price)"


def test_an_interval_never_excludes_zero_where_the_test_does_not_reject() -> None:
    # Three clusters, all won: the exact cluster test has p = 2 / 8, however many items they hold.
    result = compare([1] * 30, [0] * 30, clusters=[item // 10 for item in range(30)])
    assert result.p_value == pytest.approx(0.25, abs=1e-12)
    assert result.low <= 0.0 < result.high


def test_limits_contain_the_difference_and_stay_possible() -> None:
    import numpy as np

    low, high = adjusted_wald_limits(np.full(9, -1.0), np.ones(9), alpha=0.05)
    assert low == -1.0 and -1.0 < high < 0.0
