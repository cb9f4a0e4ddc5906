"""More answers refuse."""

from __future__ import annotations

from pipeline.monitor.found import Found
from pipeline.monitor.rates import more_often
from pipeline.monitor.windows import Windows


def detect(windows: Windows) -> Found:
    """Compare the shares of answers that refuse, as `errors` compares errors."""
    return more_often(windows, lambda row: row.refused)
