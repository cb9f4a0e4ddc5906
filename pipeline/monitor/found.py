"""What a detector returns, and the statistics that several of them permute."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from pipeline.monitor.windows import Items
from pipeline.statistics.two_sample import dealt_p_value
from schemas.monitor import Bar

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_MOST_BINS = 200
_SHOWN_BINS = 6
_SHOWN_PARTS = 12
_TINY = 1e-12


@dataclass(frozen=True)
class Found:
    """The statistic, its p-value, how large the shift is, and what both windows are like: see `DriftReading`."""

    counts: tuple[int, int]
    statistic: float
    p_value: float
    effect: float
    exact: bool = False
    reference: float | None = None
    current: float | None = None
    bars: tuple[Bar, ...] = ()


def weights(deals: NDArray[np.float32], sizes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return what turns sums over units into the current window's mean minus the reference's, shape (deals, units)."""
    import numpy as np

    current = deals @ sizes
    reference = sizes.sum() - current
    return np.asarray(deals / current[:, None] - (1 - deals) / reference[:, None], dtype=np.float32)


def compare_distributions(items: Items[float], name: str, seed: int) -> Found:
    """Compare two samples of numbers by the Anderson-Darling statistic; the effect is the Kolmogorov-Smirnov distance.

    Scholz and Stephens, K-Sample Anderson-Darling Tests, JASA 82(399), 1987, equation 6 (for ties): the squared
    difference of the distribution functions, weighed so that tails count, over the values of both samples. Its p-value
    is by permutation. Values are parted where they differ, at most at `_MOST_BINS` of their quantiles. ``name`` is what
    the bars' labels call a value.
    """
    import numpy as np

    values = np.asarray(items.values, dtype=np.float64)
    edges = np.unique(np.quantile(values, np.linspace(0, 1, _MOST_BINS + 1), method="lower"))
    pooled = (values[:, None] <= edges[None, :]).mean(axis=0)
    mass = np.diff(pooled, prepend=0.0)
    middle = pooled - mass / 2
    at_most = (values[:, None] <= edges[None, :]).astype(np.float64)
    half_below = at_most - (values[:, None] == edges[None, :]) / 2
    scale = np.sqrt(mass / np.maximum(middle * (1 - middle), _TINY))
    sums = items.sum_by_unit((half_below * scale).astype(np.float32))
    statistic, p_value = dealt_p_value(
        lambda deals: np.square(weights(deals, items.sizes) @ sums).sum(axis=1).astype(np.float64),
        items.part,
        seed=seed,
    )
    reference, current = values[~items.second], values[items.second]
    apart = at_most[items.second].mean(axis=0) - at_most[~items.second].mean(axis=0)
    return Found(
        items.counts,
        statistic,
        p_value,
        float(np.abs(apart).max()),
        reference=float(np.median(reference)),
        current=float(np.median(current)),
        bars=_range_bars(reference, current, name),
    )


def _range_bars(reference: Any, current: Any, name: str) -> tuple[Bar, ...]:
    """Return the shares of both in ranges that hold equal shares of the reference."""
    import numpy as np

    edges = np.unique(np.quantile(reference, np.linspace(0, 1, _SHOWN_BINS + 1)[1:-1], method="lower"))
    places = [np.searchsorted(edges, values, side="left") for values in (reference, current)]
    shares = [np.bincount(place, minlength=edges.size + 1) / place.size for place in places]
    told = [f"{edge:.3g}" if edge % 1 else f"{edge:.0f}" for edge in edges]
    labels = [f"{name} up to {told[0]}", *(f"{low} to {high}" for low, high in pairwise(told))]
    labels.append(f"above {told[-1]}")
    return tuple(
        Bar(label=label, reference=float(first), current=float(second))
        for label, first, second in zip(labels, *shares, strict=True)
    )


def compare_shares(items: Items[Collection[str]], parts: Sequence[str], seed: int) -> Found:
    """Compare in how many items each of ``parts`` is, by Pearson's chi-square summed over them, permuted.

    Pearson, Philosophical Magazine 50, 1900: the sum of (share now - share before)^2 / share in both. Where each item
    has one part it is the statistic of homogeneity up to a factor; cells may be small, for its distribution is
    permuted. The effect is left to the caller; bars are the parts that changed most.
    """
    import numpy as np

    known = {part: place for place, part in enumerate(parts)}
    has = np.zeros((len(items.values), len(parts)), dtype=np.float32)
    for place, value in enumerate(items.values):
        has[place, [known[part] for part in value if part in known]] = 1
    pooled = has.mean(axis=0)
    sums = items.sum_by_unit(has / np.sqrt(np.maximum(pooled, _TINY)))
    statistic, p_value = dealt_p_value(
        lambda deals: np.square(weights(deals, items.sizes) @ sums).sum(axis=1).astype(np.float64),
        items.part,
        seed=seed,
    )
    reference, current = has[~items.second].mean(axis=0), has[items.second].mean(axis=0)
    spoken = np.square(current - reference) / np.maximum(pooled, _TINY)
    order = np.argsort(-spoken, kind="stable")[:_SHOWN_PARTS]
    bars = tuple(
        Bar(label=parts[place], reference=float(reference[place]), current=float(current[place])) for place in order
    )
    return Found(items.counts, statistic, p_value, statistic, bars=bars)


def frequent(items: Items[Collection[str]], least: int, most: int) -> list[str]:
    """Return the parts that at least ``least`` items of both windows have, the most frequent ones, by frequency."""
    counts = Counter(part for value in items.values for part in value)
    found = sorted((part for part, count in counts.items() if count >= least), key=lambda part: (-counts[part], part))
    return found[:most]
