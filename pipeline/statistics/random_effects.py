"""Several seeds as a random effect: a gain that holds for other seeds and other items, not for those that were seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.core.errors import DataError
from pipeline.statistics.paired_interval import adjusted_wald
from pipeline.statistics.units import as_scores, check_rate, cluster_index

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.statistics.units import Clusters, Floats, Scores


@dataclass(frozen=True)
class SeedsEffect:
    """The mean difference over ``seeds`` trainings and ``units`` items (or clusters of items).

    ``between_seeds`` and ``between_units`` are estimated standard deviations of the two effects. ``low`` and ``high``
    bound the difference with confidence 1 - ``alpha`` for seeds and items alike; ``freedom`` are the degrees of freedom
    of the t distribution that gives them and the two-sided ``p_value``.
    """

    seeds: int
    units: int
    difference: float
    between_seeds: float
    between_units: float
    low: float
    high: float
    freedom: float
    p_value: float
    alpha: float


def seeds_effect(
    candidates: Sequence[Scores], baseline: Scores, *, clusters: Clusters | None = None, alpha: float = 0.05
) -> SeedsEffect:
    """Compare several trainings with one baseline on the same items.

    The differences, ``candidates[s][i] - baseline[i]``, are a two-way table of seeds and items without replication,
    both random. With mean squares of seeds, items and residual, the variance of the mean is
    (MS_seeds + MS_items - MS_residual) / (seeds * items) (Searle, Casella and McCulloch, Variance Components, 1992,
    section 4.3), never below the larger of the two divided by as much, and its degrees of freedom are those of
    Satterthwaite, Biometrics Bulletin 2(6), 1946. Where every seed and unit has the same difference it is that of
    `pipeline.statistics.paired_interval.adjusted_wald` over units, for scores in [0, 1]. Deviation: with clusters a
    unit is a cluster and its value the sum over its items as a share of the mean size, so that the mean over units is
    that over items.

    Raises:
        DataError: fewer than two seeds or units, unequal lengths, a score that is not finite, or not one cluster id
            per item.
        ConfigError: ``alpha`` is not between 0 and 1.
    """
    import numpy as np
    from scipy.stats import t

    check_rate(alpha, "alpha")
    table = _table(candidates, baseline, clusters)
    seeds, units = table.shape
    mean = float(table.mean())
    seed_square, unit_square, residual = _mean_squares(table)
    variance = max(seed_square + unit_square - residual, seed_square, unit_square) / (seeds * units)
    freedom = _freedom(seed_square, unit_square, residual, seeds, units)
    if variance == 0.0:
        # Nothing varied, which few units cannot show of all that there are.
        center, error, freedom = adjusted_wald(table[0], np.ones(units))
        half = float(t.isf(alpha / 2, freedom)) * error
        low, high = min(mean, center - half), max(mean, center + half)
        p_value = float(2 * t.sf(abs(center) / error, freedom))
    else:
        error = variance**0.5
        half = float(t.isf(alpha / 2, freedom)) * error
        low, high, p_value = mean - half, mean + half, float(2 * t.sf(abs(mean) / error, freedom))
    return SeedsEffect(
        seeds=seeds,
        units=units,
        difference=mean,
        between_seeds=max(0.0, (seed_square - residual) / units) ** 0.5,
        between_units=max(0.0, (unit_square - residual) / seeds) ** 0.5,
        low=low,
        high=high,
        freedom=freedom,
        p_value=p_value,
        alpha=alpha,
    )


def _table(candidates: Sequence[Scores], baseline: Scores, clusters: Clusters | None) -> Floats:
    """Return the differences, of shape (seeds, units)."""
    import numpy as np

    reference = as_scores(baseline, what="baseline scores")
    sides = [as_scores(scores, what=f"scores of seed {number}") for number, scores in enumerate(candidates)]
    for number, scores in enumerate(sides):
        if scores.size != reference.size:
            raise DataError(
                f"seed {number} has {scores.size} scores and the baseline {reference.size}",
                fix="score the same items in the same order",
            )
    if len(sides) < 2:
        raise DataError(f"there are {len(sides)} seeds", fix="train at least two")
    differences = np.stack(sides) - reference
    index = cluster_index(clusters, reference.size)
    if index is not None:
        units = int(index.max()) + 1
        sums = np.stack([np.bincount(index, weights=row, minlength=units) for row in differences])
        differences = sums * units / reference.size
    if differences.shape[1] < 2:
        raise DataError("there is one item", fix="measure on at least two items")
    return np.asarray(differences, dtype=np.float64)


def _mean_squares(table: Floats) -> tuple[float, float, float]:
    """Return the mean squares of seeds, of units and of the residual."""
    seeds, units = table.shape
    mean, rows, columns = table.mean(), table.mean(axis=1), table.mean(axis=0)
    residual = table - rows[:, None] - columns[None, :] + mean
    return (
        float(units * ((rows - mean) ** 2).sum() / (seeds - 1)),
        float(seeds * ((columns - mean) ** 2).sum() / (units - 1)),
        float((residual**2).sum() / ((seeds - 1) * (units - 1))),
    )


def _freedom(seed_square: float, unit_square: float, residual: float, seeds: int, units: int) -> float:
    combined = seed_square + unit_square - residual
    if combined <= max(seed_square, unit_square):
        return float(seeds - 1 if seed_square >= unit_square else units - 1)
    spread = seed_square**2 / (seeds - 1) + unit_square**2 / (units - 1) + residual**2 / ((seeds - 1) * (units - 1))
    return float(combined**2 / spread)
