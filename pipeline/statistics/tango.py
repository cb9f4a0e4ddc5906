"""The score test for a difference of two paired proportions, and its one-sided bound.

Wald's error is estimated from what was seen, so that a variant which lost nothing on a few items looks surer than it
is. The score test takes the error that there would be if the difference were what is tested.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.statistics.units import effective_units, ratio_standard_error

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.statistics.units import Floats

    Number = float | NDArray[np.number]

TANGO = "score (Tango)"

_HALVINGS = 50


def tango_statistic(won: Number, lost: Number, n: Number, difference: float) -> Floats:
    """Return z of the hypothesis that the true difference (won - lost) / n is ``difference``; arrays broadcast.

    Tango, Equivalence Test and Confidence Interval for the Difference in Proportions for the Paired-Sample Design,
    Statistics in Medicine 17(8), 1998, eq. 4 to 6: with d the ``difference``, the share of lost items has under the
    hypothesis the maximum likelihood estimate q, the larger root of
    2 n q^2 + ((2 n - won + lost) d - won - lost) q - lost d (1 - d) = 0, and won - lost - n d the variance
    n (2 q + d (1 - d)). Counts may be fractions: those of effective items.

    Args:
        won: items that only the candidate has right.
        lost: items that only the reference has right.
        n: all items.
        difference: in (-1, 1).
    """
    import numpy as np

    linear = (2 * n - won + lost) * difference - won - lost
    constant = -lost * difference * (1 - difference)
    q = (np.sqrt(np.maximum(linear**2 - 8 * n * constant, 0.0)) - linear) / (4 * n)
    variance = n * (2 * q + difference * (1 - difference))
    # Where nothing varies under the hypothesis, any other outcome contradicts it.
    gap = won - lost - n * difference
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where(gap == 0.0, 0.0, gap / np.sqrt(np.maximum(variance, 0.0)))
    return np.asarray(z, dtype=np.float64)


def tango_lower(won: float, lost: float, n: float, *, z: float) -> float:
    """Return the lower bound: the smallest difference that `tango_statistic` does not reject at the quantile ``z``."""
    low, high = -1.0, (won - lost) / n
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if float(tango_statistic(won, lost, n, middle)) > z:
            low = middle
        else:
            high = middle
    return low


def effective_counts(sums: Floats, sizes: Floats, won: float, lost: float) -> tuple[float, float, float]:
    """Return (won, lost, items) of as many independent items as carry the information of these units.

    ``won`` and ``lost`` are the sums of the positive and of the negative differences of items, both positive, so
    (won + lost) / n bounds the mean of the squared differences, and is it for 0/1 scores. n is divided by the design
    effect (Rao & Scott, Biometrics 48(2), 1992), the variance over units relative to that of as many independent
    items, where one below 1 counts as 1; where nothing differs, so that it cannot be estimated, each unit counts as one
    item (`effective_units`).
    """
    n = float(sizes.sum())
    independent = (won + lost) / n - ((won - lost) / n) ** 2
    if independent <= 0.0:
        effect = n / effective_units(sizes)
    else:
        effect = max(1.0, ratio_standard_error(sums, sizes) ** 2 * (n - 1) / independent)
    return won / effect, lost / effect, n / effect
