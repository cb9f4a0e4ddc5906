"""Krippendorff's alpha: agreement of any number of raters, with missing ratings, on a scale of a given level."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from pipeline.core.errors import DataError
from pipeline.statistics.agreement import beyond_chance
from pipeline.statistics.intervals import Interval

if TYPE_CHECKING:
    from pipeline.statistics.units import Clusters, Floats, Integers

Level = Literal["nominal", "ordinal", "interval"]


def krippendorff_alpha(
    ratings: Sequence[Sequence[float | None]],
    *,
    level: Level = "nominal",
    clusters: Clusters | None = None,
    alpha: float = 0.05,
    seed: int = 0,
    resamples: int = 10_000,
) -> Interval | None:
    """Return Krippendorff's alpha of ``ratings``, one sequence per item, None for a missing rating.

    Krippendorff, Computing Krippendorff's Alpha-Reliability (2011), section E. An item with m >= 2 ratings adds each
    ordered pair of them with weight 1 / (m - 1) to the coincidences o_ck, whose rows sum to n_c and all to n:
    Do = sum o_ck d_ck / n and De = sum n_c n_k d_ck / (n (n - 1)). Squared differences d_ck: nominal 1 for c != k;
    interval (c - k)^2; ordinal (n_c / 2 + the n_g strictly between c and k + n_k / 2)^2. Items with fewer ratings
    than two are left out. Values of a nominal scale are codes; the interval is that of `pipeline.statistics.agreement`.

    Returns:
        The coefficient with its interval over the items that two or more rated; None where all their ratings are equal.

    Raises:
        DataError: no item has two ratings, a rating that is not finite, or clusters that cannot be resampled.
        ConfigError: ``alpha`` or ``resamples`` out of range.
    """
    import numpy as np

    given = [[float(value) for value in item if value is not None] for item in ratings]
    kept = [place for place, item in enumerate(given) if len(item) >= 2]
    if not kept:
        raise DataError("no item was rated twice", fix="have at least two people rate some of the same items")
    values = np.asarray(sorted({value for place in kept for value in given[place]}))
    if not np.isfinite(values).all():
        raise DataError("a rating is not a finite number", fix="leave a missing rating out (None)")
    of_items = np.stack([_coincidences(given[place], values) for place in kept])
    size = len(values)

    def disagreement(counts: Integers) -> tuple[Floats, Floats]:
        """Return Do and De of each row; a resample has its own n_c, and so its own ordinal distances."""
        table = (counts @ of_items.reshape(len(kept), -1)).reshape(-1, size, size)
        margins = table.sum(axis=2)
        total = margins.sum(axis=1)
        distances = _distances(values, margins, level)
        observed = (table * distances).sum(axis=(1, 2)) / total
        chance = np.einsum("rc,rck,rk->r", margins, distances, margins) / (total * (total - 1.0))
        return observed, chance

    margins = of_items.sum(axis=(0, 2))[None, :]
    return beyond_chance(
        disagreement,
        len(kept),
        largest=float(_distances(values, margins, level).max()),
        clusters=None if clusters is None else [clusters[place] for place in kept],
        alpha=alpha,
        seed=seed,
        resamples=resamples,
    )


def _coincidences(given: Sequence[float], values: Floats) -> Floats:
    """Return the coincidence matrix (values, values) of one item: its ordered pairs of ratings, over m - 1."""
    import numpy as np

    counts = (np.asarray(given)[:, None] == values).sum(axis=0).astype(np.float64)
    return (np.outer(counts, counts) - np.diag(counts)) / (len(given) - 1)


def _distances(values: Floats, margins: Floats, level: Level) -> Floats:
    """Return squared differences of all pairs of values for each row of ``margins``: shape (rows, values, values)."""
    import numpy as np

    if level == "ordinal":
        # Up to a value, itself half counted: the distance of two values is the difference of their mid-ranks.
        middle = np.cumsum(margins, axis=1) - margins / 2
        return np.asarray((middle[:, :, None] - middle[:, None, :]) ** 2)
    plain = (values[:, None] - values) ** 2 if level == "interval" else 1.0 - np.eye(len(values))
    return np.broadcast_to(plain, (len(margins), *plain.shape))
