"""Intervals of sums of absolute values: their coverage where a bootstrap has none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pipeline.core.errors import DataError
from pipeline.metrics import CalibrationError, Probabilities
from pipeline.statistics import absolute_sum_interval


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
