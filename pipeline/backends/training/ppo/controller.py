"""How much the distance from the base costs: the coefficient follows a target distance."""

from __future__ import annotations

_MOST = 0.2


def next_coefficient(coefficient: float, distance: float, *, target: float, horizon: int, answers: int) -> float:
    """Return the coefficient after so many answers at this distance (Ziegler et al. 2019, section 2.2).

    beta (1 + e n / horizon) with e = clip((KL - target) / target, -0.2, 0.2): a log-space proportional controller.

    Args:
        coefficient: beta so far.
        distance: mean KL of an answer from the base, in nats.
        target: the distance that is wanted.
        horizon: answers within which a full correction takes place.
        answers: answers since the last correction.
    """
    error = min(max((distance - target) / target, -_MOST), _MOST)
    return coefficient * (1 + error * answers / horizon)
