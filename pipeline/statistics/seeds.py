"""The spread of a score over training seeds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.statistics.units import as_scores, check_rate

if TYPE_CHECKING:
    from pipeline.statistics.units import Scores


@dataclass(frozen=True)
class SeedSummary:
    """Scores of runs that differ only in their seed.

    ``std`` is the sample standard deviation (n - 1 in its denominator); ``low`` and ``high`` bound the mean over
    seeds with confidence 1 - ``alpha``. One seed shows no spread: these three are then None.
    """

    values: tuple[float, ...]
    n: int
    mean: float
    std: float | None
    low: float | None
    high: float | None
    alpha: float


def summarize_seeds(values: Scores, *, alpha: float = 0.05) -> SeedSummary:
    """Return mean, standard deviation and t interval of one score per seed.

    The interval is mean +- t(1 - alpha / 2, n - 1) s / sqrt(n) (Student, Biometrika 6(1), 1908). It covers seeds
    only: the test items are the same for all, so their sampling error is not in it.

    Raises:
        DataError: no values, or a value that is not finite.
        ConfigError: ``alpha`` is not between 0 and 1.
    """
    from scipy.stats import t

    check_rate(alpha, "alpha")
    array = as_scores(values, what="seed scores")
    n, mean = array.size, float(array.mean())
    scores = tuple(float(value) for value in array)
    if n == 1:
        return SeedSummary(scores, n, mean, None, None, None, alpha)
    std = float(array.std(ddof=1))
    half = float(t.isf(alpha / 2, n - 1)) * std / n**0.5
    return SeedSummary(scores, n, mean, std, mean - half, mean + half, alpha)
