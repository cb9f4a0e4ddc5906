"""What the test split can show, before anything is trained."""

from __future__ import annotations

import math
from importlib.util import find_spec
from statistics import NormalDist

from schemas.plan import PowerEstimate

ASSUMED_BASELINE = 0.5
"""Where the base was not measured: a share of one half spreads most, so it asks for the most rows."""

EXACT_ROWS = 1_000_000
"""Test rows up to which the exact test's power is summed; beyond, the gain falls with the root of the rows."""

EXACT_GAIN = 0.003
"""Gain down to which the rows that it needs are summed exactly; below, the normal approximation decides."""

APPROXIMATED = (
    "what the test split could show is a normal approximation, a little too good: scipy is not installed here"
)
"""Said where `PowerEstimate.exact` is false."""

_GAIN_STEP = 1e-6


def estimate_power(
    test_rows: int, *, alpha: float, power: float, target: float | None, baseline: float | None = None
) -> PowerEstimate:
    """Return the least gain that ``test_rows`` show, and the rows that the gain to ``target`` needs.

    ``baseline`` is the score to beat, if it is known; else one half, or half the target where that is lower. Both
    numbers assume that the two models err independently: real ones need fewer rows. See `pipeline.statistics.size`;
    where scipy is not installed, both are the normal approximation.
    """
    assumed = baseline
    if assumed is None:
        assumed = ASSUMED_BASELINE if target is None or target > ASSUMED_BASELINE else target / 2
    gain = None if target is None else target - assumed
    exact = find_spec("scipy") is not None
    detectable, rows_for = (_detectable, _rows_for) if exact else (_about_detectable, _about_rows)
    return PowerEstimate(
        test_rows=test_rows,
        power=power,
        alpha=alpha,
        exact=exact,
        assumed_baseline=round(assumed, 6),
        minimum_detectable_gain=None if test_rows == 0 else detectable(test_rows, assumed, alpha, power),
        rows_for_target=None if gain is None or gain <= 0 else rows_for(gain, assumed, alpha, power),
    )


def _detectable(test_rows: int, baseline: float, alpha: float, power: float) -> float | None:
    from pipeline.statistics import minimum_detectable_gain

    least = minimum_detectable_gain(min(test_rows, EXACT_ROWS), baseline, alpha=alpha, power=power)
    return _rounded(least if least is None else least * math.sqrt(min(1.0, EXACT_ROWS / test_rows)))


def _rows_for(gain: float, baseline: float, alpha: float, power: float) -> int:
    from pipeline.statistics import required_size

    if gain >= EXACT_GAIN:
        return required_size(gain, baseline, alpha=alpha, power=power)
    return _about_rows(gain, baseline, alpha, power)


def _about_detectable(test_rows: int, baseline: float, alpha: float, power: float) -> float | None:
    """Return the least gain whose rows by `_about_rows` are there, by bisection."""
    below, above = 0.0, 1.0 - baseline
    if above <= 0.0 or _about_rows(above, baseline, alpha, power) > test_rows:
        return None
    while above - below > _GAIN_STEP:
        middle = (below + above) / 2
        enough = _about_rows(middle, baseline, alpha, power) <= test_rows
        below, above = (below, middle) if enough else (middle, above)
    return _rounded(above)


def _about_rows(gain: float, baseline: float, alpha: float, power: float) -> int:
    """Return the rows that a gain needs, by the normal approximation of Connor, Biometrics 43(1), 1987."""
    candidate = baseline + gain
    share = max(gain, baseline * (1 - candidate) + candidate * (1 - baseline))
    normal = NormalDist()
    spread = math.sqrt(max(share - gain**2, 0.0))
    root = normal.inv_cdf(1 - alpha / 2) * math.sqrt(share) + normal.inv_cdf(power) * spread
    return math.ceil((root / gain) ** 2)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)
