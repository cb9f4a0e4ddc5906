"""From a metric as a run description names it to the metric."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from pipeline.core.references import open_reference
from pipeline.metrics.base import Metric
from pipeline.metrics.code_execution import CodeExecution
from pipeline.metrics.registry import get_metric
from schemas.metric import MetricSpec

WITH_LABELS = frozenset({"valid_label"})
"""Metrics that take the declared labels where their parameters do not give them."""


def build_metric(spec: MetricSpec, labels: Sequence[str] | None) -> Metric:
    """Return the metric, ready to score; ``labels`` are those of the data.

    Raises:
        ConfigError: there is no such metric, or its parameters are wrong.
        EnvironmentMissing: programs are to be run, and this machine cannot isolate them.
        SourceError: a user's file cannot be read.
        IntegrityError: a user's file changed since the run began.
    """
    params = dict(spec.params)
    if spec.name in WITH_LABELS and labels is not None:
        params.setdefault("labels", list(labels))
    metric = get_metric(spec.name, root=_code_root(spec), **params)
    if isinstance(metric, CodeExecution):
        metric.check_machine()
    return metric


def check_metric(spec: MetricSpec) -> None:
    """Refuse a metric of the table that cannot be built, before anything is made.

    Raises:
        ConfigError: there is no such metric, or its parameters are wrong.
    """
    params = dict(spec.params)
    if spec.name in WITH_LABELS:
        params.setdefault("labels", ["any"])
    get_metric(spec.name, root=None, **params)


def _code_root(spec: MetricSpec) -> Path | None:
    """Return the folder that a user's metric (``./metrics/mine.py:score``) is relative to.

    Raises:
        IntegrityError: the file changed since the run began.
    """
    if spec.code is None:
        return None
    relative = PurePosixPath(spec.name.rpartition(":")[0] or spec.name)
    return open_reference(spec.code).absolute().parents[len(relative.parts) - 1]
