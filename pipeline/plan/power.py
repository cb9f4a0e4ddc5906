"""What the test split can show, before anything is trained."""

from __future__ import annotations

from schemas.plan import PowerEstimate

ASSUMED_BASELINE = 0.5
"""Where the base was not measured: a share of one half spreads most, so it asks for the most rows."""


def estimate_power(
    test_rows: int, *, alpha: float, power: float, target: float | None, baseline: float | None = None
) -> PowerEstimate:
    """Return the least gain that ``test_rows`` show, and the rows that the gain to ``target`` needs.

    ``baseline`` is the score to beat, if it is known; else one half, or half the target where that is lower. Both
    numbers assume that the two models err independently: real ones need fewer rows. See `pipeline.statistics.size`.
    """
    from pipeline.statistics import minimum_detectable_gain, required_size

    assumed = baseline
    if assumed is None:
        assumed = ASSUMED_BASELINE if target is None or target > ASSUMED_BASELINE else target / 2
    gain = None if target is None else target - assumed
    return PowerEstimate(
        test_rows=test_rows,
        power=power,
        alpha=alpha,
        assumed_baseline=round(assumed, 6),
        minimum_detectable_gain=None
        if test_rows == 0
        else _rounded(minimum_detectable_gain(test_rows, assumed, alpha=alpha, power=power)),
        rows_for_target=None if gain is None or gain <= 0 else required_size(gain, assumed, alpha=alpha, power=power),
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)
