"""One file per metric behind one registry; pure functions over texts."""

from __future__ import annotations

from pipeline.metrics.base import CorpusMetric, Metric, item_scores
from pipeline.metrics.confusion import Confusion, FieldErrors, field_confusions, worst_confusions
from pipeline.metrics.json_text import read_object
from pipeline.metrics.registry import get_metric, metric_names, register_metric

__all__ = [
    "Confusion",
    "CorpusMetric",
    "FieldErrors",
    "Metric",
    "field_confusions",
    "get_metric",
    "item_scores",
    "metric_names",
    "read_object",
    "register_metric",
    "worst_confusions",
]
