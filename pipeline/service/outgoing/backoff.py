"""When a delivery that was not taken is tried again.

Waits grow exponentially, and half of each is drawn ("equal jitter": Brooker, Exponential Backoff And Jitter, AWS
Architecture Blog, 2015), so that what failed together does not come back together.
"""

from __future__ import annotations

from typing import Final

TRIES: Final = 15
"""Attempts before a delivery is dead: over 37 to 74 hours, so that a weekend's outage is survived."""

FIRST: Final = 5.0
GROWTH: Final = 3.0
LONGEST: Final = 12 * 3600.0
"""Seconds: the first wait at its longest, by how much the next is longer, and the longest of all."""


def wait_after(attempts: int, draw: float, asked: float = 0.0) -> float:
    """Return the seconds until the next attempt.

    Args:
        attempts: how many failed, at least one.
        draw: uniform on [0, 1).
        asked: seconds that the receiver asked for (``Retry-After``); kept to as far as `LONGEST`.
    """
    longest = min(LONGEST, FIRST * GROWTH ** min(attempts - 1, TRIES))
    return max(longest * (0.5 + 0.5 * draw), min(asked, LONGEST))
