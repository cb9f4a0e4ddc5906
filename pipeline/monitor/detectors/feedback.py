"""People are less content."""

from __future__ import annotations

from pipeline.monitor.found import Found
from pipeline.monitor.windows import Windows
from pipeline.statistics.two_sample import mean_p_value


def detect(windows: Windows) -> Found:
    """Compare the mean scores of the answers that somebody rated; only a fall counts.

    Permutation of the difference of means (Fisher, The Design of Experiments, 1935, section 21).
    """
    import numpy as np

    items = windows.items(lambda row: row.score)
    scores = np.asarray(items.values, dtype=np.float64)
    before, now = float(scores[~items.second].mean()), float(scores[items.second].mean())
    p_value = mean_p_value(-scores, items.second, items.units, seed=windows.seed)
    return Found(items.counts, before - now, p_value, now - before, False, before, now)
