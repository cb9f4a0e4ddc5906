"""Whether a mean lies above a bound, asked after every observation: the capital of bets that it does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from pipeline.core.errors import DataError
from pipeline.statistics.units import check_rate

BETS: Final = 10
"""Bets that are held at once: the largest that cannot be ruined, and nine that are each half of the one before."""

_LARGEST = 0.98
_CEILING = 1e300


@dataclass
class MeanExceeds:
    """Evidence that the mean of observations in [-1, 1] lies above ``bound``, for as long as one likes to look.

    A bet of a share ``b`` of its capital on an observation ``x`` leaves ``1 + b (x - bound)`` of it, which cannot grow
    on average while the mean, whatever came before, is at most ``bound`` (Waudby-Smith and Ramdas, Estimating Means of
    Bounded Random Variables by Betting, JRSS B 86(1), 2024, proposition 2). The mean capital over a fixed set of
    shares is such a process as well (the method of mixtures), so it ever reaches 1 / alpha with probability at most
    ``alpha``, by Ville's inequality. Observations need be neither independent nor of one distribution.

    Attributes:
        bound: what the mean is compared with, above -1 and below 1.
        alpha: level at which `shown` decides, whenever it is asked.
        e_value: the evidence now. largest: the most that it ever was.
    """

    bound: float = 0.0
    alpha: float = 0.05
    n: int = 0
    e_value: float = 1.0
    largest: float = 1.0
    capitals: list[float] = field(default_factory=lambda: [1.0] * BETS)
    _bets: Sequence[float] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        check_rate(self.alpha, "alpha")
        if not -1.0 < self.bound < 1.0:
            raise DataError(f"{self.bound} is no bound of a mean in [-1, 1]", fix="give one above -1 and below 1")
        self._bets = tuple(_LARGEST / (1.0 + self.bound) / 2**number for number in range(BETS))

    def add(self, value: float) -> None:
        """Take the next observation.

        Raises:
            DataError: it does not lie in [-1, 1].
        """
        if not -1.0 <= value <= 1.0:
            raise DataError(f"{value} does not lie in [-1, 1]", fix="scale observations to [-1, 1]")
        gain = value - self.bound
        self.capitals = [
            min(capital * (1.0 + bet * gain), _CEILING) for capital, bet in zip(self.capitals, self._bets, strict=True)
        ]
        self.n += 1
        self.e_value = sum(self.capitals) / BETS
        self.largest = max(self.largest, self.e_value)

    @property
    def p_value(self) -> float:
        """The anytime-valid p-value: one over the largest e-value so far."""
        return min(1.0, 1.0 / self.largest)

    @property
    def shown(self) -> bool:
        """Whether the mean was ever shown to lie above the bound at level ``alpha``."""
        return self.largest >= 1.0 / self.alpha
