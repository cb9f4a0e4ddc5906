"""Answers became longer or shorter."""

from __future__ import annotations

from pipeline.monitor.found import Found, compare_distributions
from pipeline.monitor.windows import Windows


def detect(windows: Windows) -> Found:
    """Compare the characters of the answers (Kolmogorov-Smirnov)."""
    items = windows.items(lambda row: None if row.output_length is None else float(row.output_length))
    return compare_distributions(items, "characters", windows.seed)
