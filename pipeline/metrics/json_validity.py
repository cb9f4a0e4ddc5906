"""JSON validity: the output can be read as JSON, right or wrong."""

from __future__ import annotations

from pipeline.metrics.base import ItemMean
from pipeline.metrics.json_text import read_json


class JsonValidity(ItemMean):
    """1 where the prediction is one JSON value by the strict rules of ``json_text``; the reference is not looked at."""

    name = "json_validity"
    binary = True

    def item(self, prediction: str, reference: str) -> float:  # noqa: ARG002 - part of the protocol
        """Return 1.0 or 0.0."""
        try:
            read_json(prediction)
        except ValueError:
            return 0.0
        return 1.0
