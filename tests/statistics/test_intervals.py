"""Intervals against closed forms, and their coverage by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.errors import ConfigError, DataError
from pipeline.statistics import bootstrap_interval, bootstrap_mean_interval, score_interval, wilson_interval
from pipeline.statistics.intervals import expanded_percentiles

Z = 1.959963984540054  # the normal's 97.5% point


def test_wilson_at_one_half_has_a_closed_form() -> None:
    # p = 1/2: center 1/2, half width z sqrt(1/(4n) + z^2/(4n^2)) / (1 + z^2/n) = z / (2 sqrt(n + z^2)).
    interval = wilson_interval(10, 20)
    half = Z / (2 * (20 + Z * Z) ** 0.5)
    assert interval.low == pytest.approx(0.5 - half, abs=1e-12)
    assert interval.high == pytest.approx(0.5 + half, abs=1e-12)


def test_wilson_at_zero_has_a_closed_form() -> None:
    # p = 0: center = half = z^2 / (2 (n + z^2)), so the limits are 0 and z^2 / (n + z^2).
    interval = wilson_interval(0, 20)
    assert interval.low == 0.0
    assert interval.high == pytest.approx(Z * Z / (20 + Z * Z), abs=1e-12)


@given(st.integers(1, 500), st.data())
@settings(deadline=None)
def test_wilson_is_symmetric_and_holds_the_proportion(n: int, data: st.DataObject) -> None:
    successes = data.draw(st.integers(0, n))
    interval, mirrored = wilson_interval(successes, n), wilson_interval(n - successes, n)
    assert 0.0 <= interval.low <= interval.estimate <= interval.high <= 1.0
    assert mirrored.low == pytest.approx(1 - interval.high, abs=1e-12)


def test_score_interval_chooses_its_method() -> None:
    assert score_interval([0, 1, 1]).method == "Wilson"
    assert score_interval([0, 1, 1], clusters=["a", "a", "b"]).method == "Wilson at the effective number of items"
    assert score_interval([0, 0.5, 1]).method == "wider of bootstrap, expanded percentile and Wilson"
    assert score_interval([0, 0.5, 2]).method == "bootstrap, expanded percentile"
    clustered = score_interval([0, 0.5, 1], clusters=["a", "a", "b"])
    assert (clustered.method, clustered.clusters) == (
        "wider of cluster bootstrap, expanded percentile and Wilson",
        2,
    )


def test_clusters_of_one_item_change_nothing() -> None:
    scores = [1, 0, 1, 1]
    plain, singletons = score_interval(scores), score_interval(scores, clusters=list("abcd"))
    assert (plain.low, plain.high) == (singletons.low, singletons.high)
    assert (plain.clusters, singletons.clusters) == (None, 4)


def test_copies_of_items_add_no_information() -> None:
    # Each item stands five times: the clustered interval is no narrower than that of the distinct items.
    distinct = np.arange(40) % 4 == 0
    copied = np.repeat(distinct, 5).astype(float)
    wide = score_interval(copied, clusters=np.repeat(np.arange(40), 5).tolist())
    assert wide.high - wide.low >= wilson_interval(10, 40).high - wilson_interval(10, 40).low
    naive = score_interval(copied)
    assert naive.high - naive.low < 0.6 * (wide.high - wide.low)


def test_all_right_in_few_clusters_is_not_certain() -> None:
    interval = score_interval([1.0] * 100, clusters=[i % 5 for i in range(100)])
    # Five clusters count as fewer than five items; Wilson's low limit at 5 of 5 is 5 / (5 + z^2) = 0.5655.
    assert interval.low < 5 / (5 + Z * Z)
    assert interval.high == 1.0


def test_two_units_give_the_whole_range() -> None:
    # k = 2: the tail is Phi(-sqrt(2) t(.975, 1)) = Phi(-17.97), so the limits are the extremes of the draws.
    interval = bootstrap_mean_interval([0.2, 0.6])
    assert (interval.low, interval.high) == pytest.approx((0.2, 0.6), abs=1e-12)
    assert interval.estimate == pytest.approx(0.4, abs=1e-12)


def test_expanded_percentiles_by_hand() -> None:
    # Draws evenly over [0, 1]: the limits are the tail itself. k = 5: t(.975, 4) = 2.776445105197793, times
    # sqrt(5 / 4) is 3.104160, and Phi(-3.104160) = erfc(3.104160 / sqrt(2)) / 2.
    tail = math.erfc(2.776445105197793 * (5 / 4) ** 0.5 / 2**0.5) / 2
    low, high = expanded_percentiles(np.linspace(0, 1, 100_001), 5, alpha=0.05)
    assert (low, high) == pytest.approx((tail, 1 - tail), abs=1e-10)


def test_size_of_clusters_is_no_spread() -> None:
    # A mean over items is a ratio: clusters that differ in size only leave no uncertainty.
    interval = bootstrap_mean_interval([0.5] * 14, clusters=[0] + [1] * 4 + [2] * 9)
    assert (interval.low, interval.high) == pytest.approx((0.5, 0.5), abs=1e-12)


@pytest.mark.parametrize("distinct", [5, 1000], ids=["multinomial draws", "index draws"])
def test_bootstrap_of_a_mean_has_the_analytic_width(distinct: int) -> None:
    # For many units the limits tend to mean +- z s / sqrt(n); 10,000 draws estimate a limit to about 2%.
    values = (np.arange(1000) % distinct) / distinct
    interval = bootstrap_mean_interval(values, seed=3)
    half = Z * values.std(ddof=1) / 1000**0.5
    assert interval.low == pytest.approx(values.mean() - half, abs=0.06 * half)
    assert interval.high == pytest.approx(values.mean() + half, abs=0.06 * half)


def test_any_statistic_agrees_with_the_mean() -> None:
    values = np.random.default_rng(5).random(60)
    clusters = [i // 3 for i in range(60)]
    general = bootstrap_interval(lambda counts: counts @ values / counts.sum(axis=1), 60, clusters=clusters)
    direct = bootstrap_mean_interval(values, clusters=clusters)
    assert general.estimate == pytest.approx(direct.estimate, abs=1e-12)
    width = direct.high - direct.low
    assert general.low == pytest.approx(direct.low, abs=0.05 * width)
    assert general.high == pytest.approx(direct.high, abs=0.05 * width)


def test_resampled_clusters_stay_whole() -> None:
    clusters = ["a", "b", "a", "c", "b"]

    def statistic(counts: np.ndarray) -> np.ndarray:
        assert (counts[:, 0] == counts[:, 2]).all()
        assert (counts[:, 1] == counts[:, 4]).all()
        assert (counts[:, [0, 1, 3]].sum(axis=1)).tolist() in ([3] * len(counts), [3])
        return counts[:, 0] / 3

    bootstrap_interval(statistic, 5, clusters=clusters, resamples=200)


def test_seed_decides() -> None:
    values = np.random.default_rng(0).random(200)
    assert bootstrap_mean_interval(values, seed=1) == bootstrap_mean_interval(values, seed=1)
    assert bootstrap_mean_interval(values, seed=1) != bootstrap_mean_interval(values, seed=2)


@pytest.mark.slow
@pytest.mark.parametrize("binary", [True, False])
def test_coverage_in_clusters(binary: bool) -> None:
    """95% intervals cover 92-98% of 600 data sets (binomial noise 0.9%), naive ones far less."""
    generator = np.random.default_rng(11)
    clusters = np.repeat(np.arange(60), 5)
    covered = naive = 0
    for trial in range(600):
        level = generator.beta(1.5, 1.5, size=60)[clusters]
        scores = (generator.random(300) < level).astype(float) if binary else level
        interval = score_interval(scores, clusters=clusters.tolist(), resamples=500)
        covered += interval.low <= 0.5 <= interval.high
        if binary or trial < 150:
            plain = score_interval(scores, resamples=500)
            naive += plain.low <= 0.5 <= plain.high
    assert 0.92 <= covered / 600 <= 0.98
    assert naive / (600 if binary else 150) < 0.88


def test_refusals() -> None:
    with pytest.raises(DataError, match="item 1 is nan"):
        score_interval([0.0, float("nan")])
    with pytest.raises(DataError, match="no scores"):
        score_interval([])
    with pytest.raises(DataError, match="all 3 items are in one cluster"):
        score_interval([0, 1, 1], clusters=[7, 7, 7])
    with pytest.raises(DataError, match="2 cluster ids for 3 items"):
        score_interval([0, 1, 1], clusters=[7, 8])
    with pytest.raises(DataError, match="4 successes of 3"):
        wilson_interval(4, 3)
    with pytest.raises(ConfigError, match="alpha"):
        wilson_interval(1, 3, alpha=1.0)
    with pytest.raises(ConfigError, match="50 resamples"):
        bootstrap_mean_interval([0.1, 0.2], resamples=50)
    with pytest.raises(DataError, match="shape"):
        bootstrap_interval(lambda counts: counts[:, :2] / 3, 3)
    with pytest.raises(DataError, match="not finite"):
        bootstrap_interval(lambda counts: np.where(counts[:, 0] > 0, 1.0, np.nan), 3)
