"""Accuracy: the output is the right label."""

from __future__ import annotations

from pipeline.metrics.base import ItemMean
from pipeline.metrics.labels import normalize_label


class Accuracy(ItemMean):
    """1 where prediction and reference are the same label by ``normalize_label`` (case and whitespace aside)."""

    name = "accuracy"
    binary = True

    def item(self, prediction: str, reference: str) -> float:
        """Return 1.0 or 0.0."""
        return float(normalize_label(prediction) == normalize_label(reference))
