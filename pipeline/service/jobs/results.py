"""A job's result file, in the columns that OpenAI's has."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from schemas.job import StepMetrics

FILENAME = "step_metrics.csv"

_COLUMNS = ("step", "train_loss", "valid_loss", "learning_rate")


def step_metrics_csv(steps: Sequence[StepMetrics]) -> bytes:
    """Return one line for each logged step; a number that was not measured is left empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for step in steps:
        writer.writerow(["" if (value := getattr(step, name)) is None else value for name in _COLUMNS])
    return text.getvalue().encode()
