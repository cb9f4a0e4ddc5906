"""Tests and intervals that may be looked at after every observation: a canary is watched, and watching costs nothing.

Of a test at a fixed number of observations, looking again and again makes a false alarm certain. An e-process grows by
bets against the hypothesis: while the hypothesis is true its mean never exceeds 1, so it ever reaches 1 / alpha with
probability at most alpha (Ville, Étude critique de la notion de collectif, 1939).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from pipeline.core.errors import DataError
from pipeline.statistics.units import check_rate


@dataclass
class TwoRates:
    """Whether two streams of successes and failures have the same rate, pair by pair, for as long as one likes.

    The e-variable of a block of one observation each (Turner, Ly and Grünwald, Generic E-variables for Exact Sequential
    k-Sample Tests that Allow for Optional Stopping, JSPI 230, 2024, section 2): the likelihood of the pair under the
    rates estimated from earlier pairs, over that under their mean. Rates are estimated with ``prior`` successes and as
    many failures added, as there. Exact for any rate; a pair is taken only whole.

    Attributes:
        alpha: level at which `different` decides, whenever it is asked.
        e_value: the evidence; its reciprocal, at most 1, is a p-value that may be looked at at any time.
    """

    alpha: float = 0.05
    prior: float = 0.18
    e_value: float = 1.0
    largest: float = 1.0
    pairs: int = 0
    first_successes: int = 0
    second_successes: int = 0
    _log: float = field(default=0.0, repr=False)

    def __post_init__(self) -> None:
        check_rate(self.alpha, "alpha")

    def add(self, first: bool, second: bool) -> None:
        """Take the next observation of each stream."""
        one, two = (self._rate(found) for found in (self.first_successes, self.second_successes))
        both = (one + two) / 2
        self._log += _log_likelihood(one, first) + _log_likelihood(two, second)
        self._log -= _log_likelihood(both, first) + _log_likelihood(both, second)
        self.e_value = math.exp(min(self._log, 700.0))
        self.largest = max(self.largest, self.e_value)
        self.pairs += 1
        self.first_successes += first
        self.second_successes += second

    @property
    def p_value(self) -> float:
        """The anytime-valid p-value: one over the largest e-value so far."""
        return min(1.0, 1.0 / self.largest)

    @property
    def different(self) -> bool:
        """Whether the rates were ever shown to differ at level ``alpha``."""
        return self.largest >= 1.0 / self.alpha

    def _rate(self, successes: int) -> float:
        return (successes + self.prior) / (self.pairs + 2 * self.prior)


def _log_likelihood(rate: float, success: bool) -> float:
    return math.log(rate if success else 1.0 - rate)


@dataclass
class MeanSequence:
    """A confidence sequence for the mean of observations in [0, 1]: it holds at all times at once.

    The predictable plug-in empirical-Bernstein sequence (Waudby-Smith and Ramdas, Estimating Means of Bounded Random
    Variables by Betting, JRSS B 86(1), 2024, theorem 2, with the bets of its equation 15), intersected over time.
    Differences of paired scores in [-1, 1] fit in as (1 + difference) / 2.

    Attributes:
        alpha: the probability that the sequence ever misses the mean.
        low, high: the interval after ``n`` observations.
    """

    alpha: float = 0.05
    n: int = 0
    low: float = 0.0
    high: float = 1.0
    _bets: float = field(default=0.0, repr=False)
    _weighted: float = field(default=0.0, repr=False)
    _variation: float = field(default=0.0, repr=False)
    _mean: float = field(default=0.5, repr=False)
    _variance: float = field(default=0.25, repr=False)
    _sum: float = field(default=0.0, repr=False)
    _squares: float = field(default=0.0, repr=False)

    def __post_init__(self) -> None:
        check_rate(self.alpha, "alpha")

    def add(self, value: float) -> None:
        """Take the next observation.

        Raises:
            DataError: it does not lie in [0, 1].
        """
        if not 0.0 <= value <= 1.0:
            raise DataError(f"{value} does not lie in [0, 1]", fix="scale observations to [0, 1]")
        step = self.n + 1
        log_alpha = math.log(2 / self.alpha)
        bet = min(0.5, math.sqrt(2 * log_alpha / (self._variance * step * math.log(1 + step))))
        self._variation += 4 * (value - self._mean) ** 2 * (-math.log(1 - bet) - bet) / 4
        self._bets += bet
        self._weighted += bet * value
        self.n = step
        self._sum += value
        self._mean = (0.5 + self._sum) / (step + 1)
        self._squares += (value - self._mean) ** 2
        self._variance = (0.25 + self._squares) / (step + 1)
        center, half = self._weighted / self._bets, (log_alpha + self._variation) / self._bets
        self.low, self.high = max(self.low, center - half), min(self.high, center + half)
