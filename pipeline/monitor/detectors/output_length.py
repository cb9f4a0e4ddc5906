"""Answers became longer or shorter."""

from __future__ import annotations

from pipeline.monitor.found import Found, compare_distributions
from pipeline.monitor.windows import Windows


def detect(windows: Windows) -> Found:
    """Compare the characters of the answers by the Anderson-Darling statistic, permuted.

    Scholz and Stephens, K-Sample Anderson-Darling Tests, JASA 82(399), 1987. The effect is the Kolmogorov-Smirnov
    distance, the largest difference of the distribution functions.
    """
    items = windows.items(lambda row: None if row.output_length is None else float(row.output_length))
    return compare_distributions(items, "characters", windows.seed)
