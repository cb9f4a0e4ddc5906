"""Whether something happens more often now than before."""

from __future__ import annotations

from collections.abc import Callable

from pipeline.monitor.found import Found
from pipeline.monitor.rows import Row
from pipeline.monitor.windows import Windows
from pipeline.statistics.two_sample import more_often_p_value


def more_often(windows: Windows, read: Callable[[Row], bool | None]) -> Found:
    """Compare the shares of rows in which something happened; only a rise counts.

    Fisher's exact test, one-sided (The Design of Experiments, 1935, section 21) where rows are independent, else
    permuted by units. The effect is the difference of the shares.
    """
    import numpy as np

    items = windows.items(read)
    happened = np.asarray(items.values, dtype=np.bool_)
    before, now = float(happened[~items.second].mean()), float(happened[items.second].mean())
    p_value = more_often_p_value(happened, items.second, items.units, windows.seed)
    is_exact = items.sizes.size == happened.size
    return Found(items.counts, now - before, p_value, now - before, is_exact, before, now)
