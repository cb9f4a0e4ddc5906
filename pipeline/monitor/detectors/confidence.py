"""The model became more or less sure."""

from __future__ import annotations

from pipeline.monitor.found import Found, compare_distributions
from pipeline.monitor.windows import Windows


def detect(windows: Windows) -> Found:
    """Compare the geometric means of the answers' token probabilities as `input_length` compares lengths.

    A fall in confidence follows a fall in accuracy: Garg et al., Leveraging Unlabeled Data to Predict
    Out-of-Distribution Performance, ICLR 2022.
    """
    return compare_distributions(windows.items(lambda row: row.confidence), "probability", windows.seed)
