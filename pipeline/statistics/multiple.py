"""Several tests at once: p-values corrected so that a level holds for all of them together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate

from pipeline.core.errors import DataError


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted so that rejecting those at most alpha makes one false rejection or more with
    probability at most alpha, however the tests depend on each other.

    Holm (1979), A simple sequentially rejective multiple test procedure, section 3, as adjusted p-values: with p sorted
    upwards, the i-th (from 0) of m is the largest of (m - j) * p_j over j <= i, at most 1.

    Raises:
        DataError: a p-value outside [0, 1].
    """
    order = _sorted(p_values)
    scaled = ((len(order) - rank) * p_values[place] for rank, place in enumerate(order))
    return _placed(order, accumulate(scaled, max))


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted so that, of those at most alpha, the expected share of false rejections is at most
    alpha, for independent or positively dependent tests.

    Benjamini and Hochberg (1995), Controlling the false discovery rate, section 3, as adjusted p-values: with p sorted
    upwards, the i-th (from 1) of m is the smallest of m / j * p_j over j >= i, at most 1.

    Raises:
        DataError: a p-value outside [0, 1].
    """
    order = _sorted(p_values)
    downwards = order[::-1]
    scaled = (len(order) / (len(order) - rank) * p_values[place] for rank, place in enumerate(downwards))
    return _placed(downwards, accumulate(scaled, min))


def _sorted(p_values: Sequence[float]) -> list[int]:
    for place, value in enumerate(p_values):
        if not 0.0 <= value <= 1.0:  # a NaN is refused as well
            raise DataError(f"{value} is no p-value", where=f"p_values[{place}]", fix="give numbers from 0 to 1")
    return sorted(range(len(p_values)), key=p_values.__getitem__)


def _placed(order: Sequence[int], adjusted: Iterable[float]) -> list[float]:
    found = [1.0] * len(order)
    for place, value in zip(order, adjusted, strict=True):
        found[place] = min(1.0, value)
    return found
