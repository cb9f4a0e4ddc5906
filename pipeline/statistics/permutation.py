"""Paired tests by exchange: if neither side is better, the two scores of an item may be swapped.

Items of one cluster are swapped together, because they are not independent. Sources: Fisher, The Design of
Experiments (1935), section 21 (sign flips); Noreen, Computer-Intensive Methods for Testing Hypotheses (1989)
(approximate randomization of any statistic); Phipson & Smyth, Permutation P-values Should Never Be Zero,
Statistical Applications in Genetics and Molecular Biology 9(1), 2010 (the +1 in Monte Carlo p-values).
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from pipeline.statistics.resampling import chunk_sizes, evaluate_statistic
from pipeline.statistics.units import as_scores, check_resamples, cluster_index, unit_sums

if TYPE_CHECKING:
    from pipeline.statistics.resampling import CountStatistic
    from pipeline.statistics.units import Clusters, Floats, Integers, Scores

_MOST_EXACT_STEPS = 500_000_000
_ROUNDING = 1e-12


def sign_flip_p_value(
    differences: Scores, *, clusters: Clusters | None = None, seed: int = 0, resamples: int = 10_000
) -> float:
    """Return the two-sided p-value of the mean of paired ``differences`` (candidate minus baseline).

    Exact where all differences are whole numbers (0/1 scores; without clusters it is then the exact McNemar
    test), otherwise (1 + exceedances) / (1 + resamples) over ``resamples`` seeded sign patterns.

    Raises:
        DataError: no differences, one that is not finite, not one cluster id per item, or only one cluster.
        ConfigError: fewer than 80 resamples.
    """
    check_resamples(resamples, 0.05)
    values = as_scores(differences, what="differences")
    sums, _ = unit_sums(values, cluster_index(clusters, values.size))
    if can_be_exact(sums):
        return exact_sign_flip(sums)
    return _sampled_sign_flip(sums, seed=seed, resamples=resamples)


def can_be_exact(sums: Floats) -> bool:
    """Tell whether the sign-flip distribution of these unit sums can be enumerated in about a second."""
    import numpy as np

    sizes = np.abs(sums)
    steps = int((sizes > 1).sum()) * sizes.sum()
    return bool((sizes == np.rint(sizes)).all()) and steps <= _MOST_EXACT_STEPS


def exact_sign_flip(sums: Floats) -> float:
    """Return the exact two-sided p-value for whole-numbered unit sums of shape (units,).

    The distribution of the sum of +-|D_u| is built by convolution: units of size 1 at once (a binomial), then
    each larger unit splits every probability evenly between a step up and a step down.
    """
    import numpy as np
    from scipy.stats import binom

    sizes = np.abs(np.rint(sums)).astype(np.int64)
    observed, reach = abs(round(float(sums.sum()))), int(sizes.sum())
    single = int((sizes == 1).sum())
    mass = np.zeros(2 * reach + 1)  # mass[reach + t] = P(T = t)
    mass[reach - single : reach + single + 1 : 2] = binom.pmf(np.arange(single + 1), single, 0.5)
    for size in sizes[sizes > 1]:
        split = np.zeros_like(mass)
        split[size:] = mass[:-size]
        split[:-size] += mass[size:]
        mass = split / 2
    totals = np.abs(np.arange(-reach, reach + 1))
    # Below the smallest float the exact value is unknown but never zero.
    return min(1.0, max(sys.float_info.min, float(mass[totals >= observed].sum())))


def _sampled_sign_flip(sums: Floats, *, seed: int, resamples: int) -> float:
    import numpy as np

    generator = np.random.default_rng(seed)
    sizes = np.abs(sums[sums != 0.0])
    total = float(sizes.sum())
    threshold = abs(float(sums.sum())) - _ROUNDING * total
    exceeding = 0
    for rows in chunk_sizes(resamples, sizes.size):
        up = generator.integers(0, 2, size=(rows, sizes.size), dtype=np.int8).astype(np.float64)
        exceeding += int((np.abs(2 * (up @ sizes) - total) >= threshold).sum())
    return (1 + exceeding) / (1 + resamples)


def swap_p_value(statistic: CountStatistic, n: int, index: Integers | None, *, seed: int, resamples: int) -> float:
    """Return the two-sided approximate-randomization p-value for a statistic that is no mean of items.

    ``statistic`` takes counts of shape (rows, 2 n) over the n candidate items followed by the n baseline items
    and returns one value per row. ``index`` gives each item's cluster (None: each item for itself).
    """
    import numpy as np

    generator = np.random.default_rng(seed)
    units = n if index is None else int(index.max()) + 1
    unswapped = np.zeros((1, units), dtype=np.int64)
    threshold = abs(float(_swapped_difference(statistic, unswapped, index)[0])) - _ROUNDING
    exceeding = 0
    for rows in chunk_sizes(resamples, 2 * n):
        swapped = generator.integers(0, 2, size=(rows, units))
        exceeding += int((np.abs(_swapped_difference(statistic, swapped, index)) >= threshold).sum())
    return (1 + exceeding) / (1 + resamples)


def _swapped_difference(statistic: CountStatistic, swapped: Integers, index: Integers | None) -> Floats:
    import numpy as np

    per_item = swapped if index is None else swapped[:, index]
    kept = 1 - per_item
    first = evaluate_statistic(statistic, np.concatenate([kept, per_item], axis=1))
    second = evaluate_statistic(statistic, np.concatenate([per_item, kept], axis=1))
    return first - second
