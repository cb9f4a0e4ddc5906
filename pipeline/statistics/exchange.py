"""Is a part of some units like the rest? If it is, which units are the part does not matter: they may be dealt anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.statistics.resampling import chunk_sizes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.statistics.units import Floats

MOST_DEALS = 9_999
"""The smallest p-value by sampling is then 2 / 10,000."""

_ENOUGH = 50
"""Deals at least as extreme on both sides, at which a p-value needs no more of them."""

_FIRST = 1000
_ROUNDING = 1e-9


def exchange_p_value(values: Floats, part: NDArray[np.bool_], *, seed: int = 0) -> float:
    """Return the two-sided p-value of the sum of the ``values``, shape (units,), of a ``part`` of the units.

    Twice the smaller tail, which holds its level where the distribution is skewed, as that of a small part at a high
    score is. Values of two kinds (right and wrong) have an exact answer, the hypergeometric distribution (Fisher, The
    Design of Experiments, 1935, section 21); others are dealt at random, with the 1 added of Phipson & Smyth (2010),
    and no longer than until both tails have `_ENOUGH` (Besag & Clifford, Sequential Monte Carlo p-values, Biometrika
    78(2), 1991).
    """
    import numpy as np

    kinds = np.unique(np.round(values / max(1e-300, float(np.abs(values).max())), 9))
    if kinds.size == 1:
        return 1.0
    if kinds.size == 2:
        return _hypergeometric(values > (values.min() + values.max()) / 2, part)
    observed, inside = float(values[part].sum()), int(part.sum())
    room = _ROUNDING * float(np.abs(values).sum())
    # The smaller side is dealt: the sum of all is the same in every deal.
    fewer = min(inside, values.size - inside)
    if fewer != inside:
        observed = float(values.sum()) - observed
    generator = np.random.default_rng(seed)
    below = above = dealt = 0
    while dealt < MOST_DEALS and min(below, above) < _ENOUGH:
        for rows in chunk_sizes(min(MOST_DEALS - dealt, max(_FIRST, dealt)), values.size):
            keys = generator.random((rows, values.size), dtype=np.float32)
            chosen = np.argpartition(keys, fewer - 1, axis=1)[:, :fewer]
            sums = values[chosen].sum(axis=1)
            below += int((sums <= observed + room).sum())
            above += int((sums >= observed - room).sum())
            dealt += rows
    return min(1.0, 2 * (1 + min(below, above)) / (1 + dealt))


def _hypergeometric(high: NDArray[np.bool_], part: NDArray[np.bool_]) -> float:
    import sys

    from scipy.stats import hypergeom

    found = int((high & part).sum())
    distribution = hypergeom(high.size, int(high.sum()), int(part.sum()))
    tail = min(float(distribution.cdf(found)), float(distribution.sf(found - 1)))
    return max(sys.float_info.min, min(1.0, 2 * tail))
