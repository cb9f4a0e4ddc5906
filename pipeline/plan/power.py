"""What the test split can show, before anything is trained."""

from __future__ import annotations

import math

from schemas.plan import PowerEstimate

ASSUMED_BASELINE = 0.5
"""Where the base was not measured: a share of one half spreads most, so it asks for the most rows."""

EXACT_ROWS = 1_000_000
"""Test rows up to which the exact test's power is summed; beyond, the gain falls with the root of the rows."""

EXACT_GAIN = 0.003
"""Gain down to which the rows that it needs are summed exactly; below, the normal approximation decides."""


def estimate_power(
    test_rows: int, *, alpha: float, power: float, target: float | None, baseline: float | None = None
) -> PowerEstimate:
    """Return the least gain that ``test_rows`` show, and the rows that the gain to ``target`` needs.

    ``baseline`` is the score to beat, if it is known; else one half, or half the target where that is lower. Both
    numbers assume that the two models err independently: real ones need fewer rows. See `pipeline.statistics.size`.
    """
    assumed = baseline
    if assumed is None:
        assumed = ASSUMED_BASELINE if target is None or target > ASSUMED_BASELINE else target / 2
    gain = None if target is None else target - assumed
    return PowerEstimate(
        test_rows=test_rows,
        power=power,
        alpha=alpha,
        assumed_baseline=round(assumed, 6),
        minimum_detectable_gain=None if test_rows == 0 else _detectable(test_rows, assumed, alpha, power),
        rows_for_target=None if gain is None or gain <= 0 else _rows_for(gain, assumed, alpha, power),
    )


def _detectable(test_rows: int, baseline: float, alpha: float, power: float) -> float | None:
    from pipeline.statistics import minimum_detectable_gain

    least = minimum_detectable_gain(min(test_rows, EXACT_ROWS), baseline, alpha=alpha, power=power)
    return _rounded(least if least is None else least * math.sqrt(min(1.0, EXACT_ROWS / test_rows)))


def _rows_for(gain: float, baseline: float, alpha: float, power: float) -> int:
    """Return the rows that a gain needs; of a small one by Connor, Biometrics 43(1), 1987."""
    from scipy.stats import norm

    from pipeline.statistics import required_size

    if gain >= EXACT_GAIN:
        return required_size(gain, baseline, alpha=alpha, power=power)
    candidate = baseline + gain
    share = max(gain, baseline * (1 - candidate) + candidate * (1 - baseline))
    root = float(norm.isf(alpha / 2)) * math.sqrt(share) + float(norm.isf(1 - power)) * math.sqrt(share - gain**2)
    return math.ceil((root / gain) ** 2)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)
