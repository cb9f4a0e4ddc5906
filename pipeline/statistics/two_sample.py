"""Are two samples of one distribution? If they are, which units belong to which does not matter: they are dealt anew.

A unit is what is independent of the others: an item, or all items of a user or conversation. Sources: Fisher, The
Design of Experiments (1935), section 21 (permutation); Phipson & Smyth, Permutation P-values Should Never Be Zero,
Statistical Applications in Genetics and Molecular Biology 9(1), 2010 (the 1 that is added); Besag & Clifford,
Sequential Monte Carlo p-values, Biometrika 78(2), 1991 (large p-values need few deals).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeAlias

from pipeline.core.errors import DataError
from pipeline.statistics.resampling import chunk_sizes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.statistics.units import Floats, Integers

    Deals: TypeAlias = NDArray[np.float32]
    """Shape (deals, units): 1 where a unit is of the second sample, else 0."""

    DealtStatistic: TypeAlias = Callable[[Deals], Floats]

MOST_DEALS: Final = 1999
"""The smallest p-value is then 1 / 2000."""

_ENOUGH = 100
"""Deals at least as extreme at which no more are needed: after 1,999 fewer of them mean p <= .05."""

_FIRST = 200
_ROUNDING = 1e-6


def dealt_p_value(statistic: DealtStatistic, second: NDArray[np.bool_], *, seed: int = 0) -> tuple[float, float]:
    """Return a statistic and its p-value: the share of deals in which it is at least as large.

    As many units are dealt to the second sample as it has. Dealing stops where a p-value up to .05 is out of reach, so
    that one is always that of `MOST_DEALS` deals.

    Args:
        statistic: takes deals of shape (deals, units) and returns one value each; large is extreme.
        second: which units are of the second sample, shape (units,).
        seed: of the deals.

    Raises:
        DataError: one of the samples has no units.
    """
    import numpy as np

    size, units = int(second.sum()), second.size
    if not 0 < size < units:
        raise DataError("one of the two samples is empty", where="second", fix="pass units of both")
    observed = float(statistic(second.astype(np.float32)[None])[0])
    threshold = observed - _ROUNDING * max(1e-12, abs(observed))
    generator = np.random.default_rng(seed)
    extreme = dealt = 0
    while dealt < MOST_DEALS and extreme < _ENOUGH:
        for rows in chunk_sizes(min(MOST_DEALS - dealt, max(_FIRST, dealt)), units):
            chosen = np.argpartition(generator.random((rows, units), dtype=np.float32), size - 1, axis=1)[:, :size]
            deals = np.zeros((rows, units), dtype=np.float32)
            np.put_along_axis(deals, chosen, np.float32(1.0), axis=1)
            extreme += int((statistic(deals) >= threshold).sum())
            dealt += rows
    return observed, (1 + extreme) / (1 + dealt)


def more_often_p_value(happened: NDArray[np.bool_], second: NDArray[np.bool_], units: Integers, seed: int = 0) -> float:
    """Return the one-sided p-value of something that happened to more of the second sample's items.

    Exact where every item is a unit of its own: the hypergeometric distribution (Fisher, 1935, section 21). Otherwise
    units are dealt, by how often it happened beyond the mean of all times their size.

    Args:
        happened: shape (items,).
        second: which items are of the second sample, shape (items,), the same within a unit.
        units: shape (items,), numbers of the items' units, 0 up to the last one.
        seed: of the deals.

    Raises:
        DataError: one of the samples has no units.
    """
    import numpy as np
    from scipy.stats import hypergeom

    if int(units.max()) + 1 == units.size:
        tail = hypergeom.sf(int(happened[second].sum()) - 1, happened.size, int(happened.sum()), int(second.sum()))
        return max(sys.float_info.min, min(1.0, float(tail)))
    return mean_p_value(happened.astype(np.float64), second, units, seed=seed)


def mean_p_value(values: Floats, second: NDArray[np.bool_], units: Integers, *, seed: int = 0) -> float:
    """Return the one-sided p-value of a larger mean in the second sample; see `more_often_p_value`."""
    import numpy as np

    residuals = np.bincount(units, weights=values - values.mean()).astype(np.float32)
    return dealt_p_value(lambda deals: (deals @ residuals).astype(np.float64), unit_part(second, units), seed=seed)[1]


def unit_part(second: NDArray[np.bool_], units: Integers) -> NDArray[np.bool_]:
    """Return which units are of the second sample, shape (units,), from which items are."""
    import numpy as np

    found: NDArray[np.bool_] = np.bincount(units, weights=second) > 0
    return found
