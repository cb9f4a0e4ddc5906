"""Intervals of sums of absolute values: their coverage where a bootstrap has none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pipeline.core.errors import DataError
from pipeline.metrics import CalibrationError, Probabilities
from pipeline.statistics import absolute_sum_interval
from pipeline.statistics.paired_interval import adjusted_wald_limits


def test_the_estimate_is_the_sum_of_the_parts_and_lies_in_its_interval() -> None:
    # Parts {0, 1} and {2, 3}: |0.5 - 0.1| / 4 + |-0.2 - 0.4| / 4 = 0.1 + 0.15.
    parts = [np.array([0, 1]), np.array([2, 3])]
    found = absolute_sum_interval([0.5, -0.1, -0.2, -0.4], parts)
    assert found.estimate == pytest.approx(0.25)
    assert 0.0 <= found.low < found.estimate < found.high <= 1.0
    assert (found.n, found.clusters) == (4, None)


def test_one_cluster_has_no_interval() -> None:
    with pytest.raises(DataError, match="in one cluster"):
        absolute_sum_interval([0.5, 0.1], [np.array([0, 1])], clusters=["a", "a"])


@pytest.mark.slow
@pytest.mark.parametrize("surer", [False, True])
@pytest.mark.parametrize(("items", "size"), [(100, 1), (400, 1), (300, 3)])
def test_the_calibration_error_of_a_known_model_is_covered(surer: bool, items: int, size: int) -> None:
    """Answers come in clusters of ``size`` with one probability and one score; 95% of intervals hold the true error."""
    measure = CalibrationError()

    def drawn(draw: Any, count: int) -> Probabilities:
        chance = draw.uniform(0.2, 1.0, count // size)
        right = draw.uniform(size=count // size) < chance
        told = np.sqrt(chance) if surer else chance
        return Probabilities(np.repeat(right.astype(float), size), answers=np.repeat(told, size))

    many = drawn(np.random.default_rng(99), 300_000)
    truth = float(measure.statistic(many)(np.ones((1, 300_000), dtype=np.int64))[0])
    held = 0
    for seed in range(200):
        found = drawn(np.random.default_rng(seed), items)
        clusters = None if size == 1 else np.repeat(np.arange(items // size), size).tolist()
        gaps, bins = measure.gaps(found)
        interval = absolute_sum_interval(gaps, bins, clusters=clusters, seed=seed, resamples=1000)
        held += interval.low <= truth <= interval.high
        assert interval.low <= interval.estimate <= interval.high
    assert held >= 186  # 93% of 200


def test_a_sure_model_that_was_never_seen_wrong_is_not_certain() -> None:
    # 50 answers told at 99%, all right: no resample moves, and the mean gap's adjusted Wald interval is what is left.
    found = absolute_sum_interval([0.01] * 50, [np.arange(50)])
    low, high = adjusted_wald_limits(np.full(50, 0.01), np.ones(50), alpha=0.05)
    assert found.high == pytest.approx(0.01 + max(0.01 - low, high - 0.01), abs=1e-12)
    assert found.high > 0.05


def test_what_chance_alone_makes_of_good_probabilities_is_room() -> None:
    # Told at 50% and 50 of 100 right, five of every ten: the estimate is 0.
    rates = np.full(100, 0.5)
    parts = np.array_split(np.arange(100), 10)
    outcomes = np.tile([1.0, 0.0], 50)
    alone = absolute_sum_interval(outcomes - rates, parts)
    told = absolute_sum_interval(outcomes - rates, parts, expected=rates)
    assert alone.estimate == told.estimate == 0.0
    assert told.high >= alone.high
    # The mean of |Binomial(10, 0.5) - 5| is 1.2305, so that of D is 10 * 1.2305 / 100, and its 95% quantile is above.
    assert told.high > 0.123


@pytest.mark.slow
@pytest.mark.parametrize("items", [30, 100, 300])
def test_probabilities_near_one_are_covered(items: int) -> None:
    measure = CalibrationError()

    def drawn(draw: Any, count: int) -> Probabilities:
        chance = draw.uniform(0.9, 1.0, count)
        return Probabilities((draw.uniform(size=count) < chance).astype(float), answers=chance)

    many = drawn(np.random.default_rng(99), 300_000)
    truth = float(measure.statistic(many)(np.ones((1, 300_000), dtype=np.int64))[0])
    held = 0
    for seed in range(200):
        found = drawn(np.random.default_rng(seed), items)
        interval = absolute_sum_interval(*measure.gaps(found), expected=found.answers, resamples=500)
        held += interval.low <= truth <= interval.high
    assert held >= 0.93 * 200
