"""More requests fail."""

from __future__ import annotations

from pipeline.monitor.found import Found
from pipeline.monitor.rates import more_often
from pipeline.monitor.windows import Windows


def detect(windows: Windows) -> Found:
    """Compare the shares of requests at which the engine failed; only a rise counts.

    Fisher's exact test (The Design of Experiments, 1935, section 21) where no two requests are of one user, else
    permuted. The effect is the difference.
    """
    return more_often(windows, lambda row: row.failed)
