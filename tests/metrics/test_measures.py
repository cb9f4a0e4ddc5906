"""Perplexity and calibration error: values by hand, and what holds of any probabilities."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.errors import ConfigError
from pipeline.metrics import CalibrationError, Probabilities, get_measure, get_metric, measure_names
from pipeline.metrics.perplexity import Perplexity

ONCE = np.ones((1, 4), dtype=np.int64)


def test_perplexity_by_hand() -> None:
    # Nats 1, 2, 0, 3 over 1, 2, 1, 4 tokens: exp(6 / 8). Without the last item, twice the first: exp(4 / 5).
    found = Probabilities(np.zeros(4), nats=np.array([1.0, 2.0, 0.0, 3.0]), tokens=np.array([1.0, 2.0, 1.0, 4.0]))
    statistic = Perplexity().statistic(found)
    assert statistic(ONCE)[0] == pytest.approx(math.exp(0.75))
    assert statistic(np.array([[2, 1, 1, 0]]))[0] == pytest.approx(math.exp(0.8))


def test_perplexity_of_the_impossible_is_a_number() -> None:
    found = Probabilities(np.zeros(1), nats=np.array([1e9]), tokens=np.array([1.0]))
    assert math.isfinite(Perplexity().statistic(found)(np.array([[1]]))[0])


def test_calibration_error_by_hand() -> None:
    # Two bins by probability: {0.1, 0.3} with scores 0, 1 and {0.8, 0.9} with scores 1, 0.
    # Sums of score - probability: (1 - 0.4) = 0.6 and (1 - 1.7) = -0.7; (0.6 + 0.7) / 4 = 0.325.
    found = Probabilities(np.array([1.0, 0.0, 1.0, 0.0]), answers=np.array([0.8, 0.1, 0.3, 0.9]))
    measure = CalibrationError(bins=2)
    assert measure.statistic(found)(ONCE)[0] == pytest.approx(0.325)
    # The first item twice and the last not: bins {0, 1} and {0.8, 0.8}; (0.6 + 2 * 0.2) / 4 = 0.25.
    assert measure.statistic(found)(np.array([[2, 1, 1, 0]]))[0] == pytest.approx(0.25)
    low, high = measure.reliability(found)
    assert (low.n, low.confidence, low.score) == (2, pytest.approx(0.2), 0.5)
    assert (high.n, high.confidence, high.score) == (2, pytest.approx(0.85), 0.5)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=60), st.integers(1, 12))
def test_calibration_error_is_a_share_and_no_less_than_the_overall_gap(
    pairs: list[tuple[float, float]], bins: int
) -> None:
    scores, answers = (np.array(side) for side in zip(*pairs, strict=True))
    measure = CalibrationError(bins)
    found = Probabilities(scores, answers=answers)
    value = float(measure.statistic(found)(np.ones((1, len(pairs)), dtype=np.int64))[0])
    assert abs(scores.mean() - answers.mean()) - 1e-9 <= value <= 1.0 + 1e-9
    parts = measure.reliability(found)
    assert sum(part.n for part in parts) == len(pairs)
    assert [part.confidence for part in parts] == sorted(part.confidence for part in parts)


@pytest.mark.parametrize("seed", range(3))
def test_a_calibrated_model_has_a_small_error_and_an_overconfident_one_has_not(seed: int) -> None:
    draw = np.random.default_rng(seed)
    answers = draw.uniform(0.2, 1.0, 20_000)
    right = (draw.uniform(size=20_000) < answers).astype(float)
    once = np.ones((1, 20_000), dtype=np.int64)
    measure = CalibrationError()
    assert measure.statistic(Probabilities(right, answers=answers))(once)[0] < 0.02
    # It says sqrt(p) where p holds: the mean of sqrt(p) - p over [0.2, 1] is 0.759 - 0.6 = 0.159.
    surer = Probabilities(right, answers=np.sqrt(answers))
    assert measure.statistic(surer)(once)[0] == pytest.approx(0.159, abs=0.01)


def test_measures_and_metrics_are_told_apart() -> None:
    assert measure_names() == ("calibration_error", "perplexity")
    with pytest.raises(ConfigError, match="measure of the model") as refused:
        get_metric("perplexity")
    assert refused.value.fix == "name it in evaluate.measures"
    with pytest.raises(ConfigError, match="a metric and no measure"):
        get_measure("exact_match")
    with pytest.raises(ConfigError) as near:
        get_measure("perplexty")
    assert near.value.fix == "did you mean perplexity?"
    with pytest.raises(ConfigError, match="do not fit"):
        get_measure("perplexity", bins=3)
    with pytest.raises(ConfigError, match="at least one bin"):
        get_measure("calibration_error", bins=0)
