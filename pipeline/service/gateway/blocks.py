"""Two streams of answers become differences: what the candidate gave against what the champion gave at the same time.

Neighbors in time are compared, so that a slow hour, a change of what is asked or a failing network, which both versions
meet, is held against neither.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from schemas.rollout import Arm

WINDOW: Final = 500
"""The champion's answers by which one tells what is usual."""

WARM: Final = 40
"""Fewer of them tell nothing yet."""


@dataclass
class Blocks:
    """Collects values until both arms have one, and then gives the difference of their means.

    Where the next block begins follows from which arm answered, never from what: a mean over a block is then as
    likely to be high as one answer's.
    """

    sums: dict[str, float] = field(default_factory=lambda: {"champion": 0.0, "candidate": 0.0})
    counts: dict[str, int] = field(default_factory=lambda: {"champion": 0, "candidate": 0})

    def add(self, arm: Arm, value: float) -> float | None:
        """Take a value in [0, 1]; return the difference in [-1, 1] that completes a block, or None."""
        self.sums[arm] += value
        self.counts[arm] += 1
        sums, counts = self.sums, self.counts
        if not (counts["champion"] and counts["candidate"]):
            return None
        difference = sums["candidate"] / counts["candidate"] - sums["champion"] / counts["champion"]
        self.sums, self.counts = {"champion": 0.0, "candidate": 0.0}, {"champion": 0, "candidate": 0}
        return max(-1.0, min(1.0, difference))

    def dump(self) -> dict[str, Any]:
        """Return it as JSON data."""
        return asdict(self)


@dataclass
class Usual:
    """What is usual of the champion: bounds between which all but some of its last answers lie.

    The bounds stand still within a block, and so depend on earlier answers alone: whoever answers alike crosses them as
    often.

    Attributes:
        below, above: shares of the champion's answers under the lower and over the upper bound.
    """

    below: float
    above: float
    latest: deque[float] = field(default_factory=lambda: deque(maxlen=WINDOW))
    low: float | None = None
    high: float | None = None
    _sorted: list[float] = field(default_factory=list, repr=False)

    def __post_init__(self) -> None:
        self._sorted = sorted(self.latest)

    @property
    def is_known(self) -> bool:
        """Whether there are bounds."""
        return self.high is not None

    def is_unusual(self, value: float) -> bool:
        """Tell whether a value lies outside of the bounds."""
        return (self.low is not None and value < self.low) or (self.high is not None and value > self.high)

    def take(self, value: float) -> None:
        """Note a value of the champion; the bounds stay where they are."""
        if len(self.latest) == WINDOW:
            del self._sorted[bisect_left(self._sorted, self.latest[0])]
        self.latest.append(value)
        insort(self._sorted, value)

    def move(self) -> None:
        """Move the bounds to what is known now."""
        if len(self._sorted) < WARM:
            return
        last = len(self._sorted) - 1
        self.low = self._sorted[round(self.below * last)] if self.below else None
        self.high = self._sorted[round((1.0 - self.above) * last)]

    def dump(self) -> dict[str, Any]:
        """Return it as JSON data."""
        return {"latest": list(self.latest), "low": self.low, "high": self.high}

    def load(self, stored: dict[str, Any]) -> None:
        """Become what `dump` returned."""
        self.latest = deque(stored["latest"], maxlen=WINDOW)
        self.low, self.high = stored["low"], stored["high"]
        self._sorted = sorted(self.latest)
