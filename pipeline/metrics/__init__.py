"""One file per metric behind one registry; pure functions over texts."""

from __future__ import annotations

from pipeline.metrics.base import CorpusMetric, Metric, item_scores
from pipeline.metrics.bert_score import BertScore
from pipeline.metrics.calibration_error import CalibrationError
from pipeline.metrics.code_execution import CodeExecution
from pipeline.metrics.confusion import Confusion, FieldErrors, field_confusions, worst_confusions
from pipeline.metrics.json_text import read_object
from pipeline.metrics.measure import Measure, Probabilities
from pipeline.metrics.registry import get_measure, get_metric, measure_names, metric_names, register_metric

__all__ = [
    "BertScore",
    "CalibrationError",
    "CodeExecution",
    "Confusion",
    "CorpusMetric",
    "FieldErrors",
    "Measure",
    "Metric",
    "Probabilities",
    "field_confusions",
    "get_measure",
    "get_metric",
    "item_scores",
    "measure_names",
    "metric_names",
    "read_object",
    "register_metric",
    "worst_confusions",
]
