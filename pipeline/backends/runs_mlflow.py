"""A run's finished calls as one MLflow run: parameters, metrics, loss curves; every call is logged once.

Keys begin with the call's id (``train.seed-0.learning_rate``). What is logged is what the artifact states: the numbers
of its typed description, its cost, and the config without places. A call's tag is written last, so a killed projection
is done again, with the same values.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, TypeVar

from pydantic import JsonValue

from pipeline.backends.read_mlflow import CALL, RUN, LoggedRun, missing_calls
from pipeline.core.errors import IntegrityError
from pipeline.core.registry import RunStatus, TrackedCall

if TYPE_CHECKING:
    from mlflow.entities import Metric
    from mlflow.tracking import MlflowClient

T = TypeVar("T")

STATUS: dict[RunStatus, str] = {"running": "RUNNING", "finished": "FINISHED", "failed": "FAILED"}
"""MLflow's words."""

_PARAMS_PER_BATCH = 100
_METRICS_PER_BATCH = 1000
_KEY_LENGTH = 250
_VALUE_LENGTH = 1000
_PLACES = frozenset({"location", "chat_template"})
"""Keys of a config that are no parameter: where something lies, and a page-long text."""

_NO_ARTIFACTS = "mlflow-artifacts:/hone"
"""Artifacts stay in the workspace; MLflow writes nothing there."""


def log_calls(
    client: MlflowClient,
    logged: LoggedRun | None,
    name: str,
    run_id: str,
    calls: Sequence[TrackedCall],
    status: RunStatus,
) -> None:
    """Log what ``logged`` lacks.

    Where it shows another artifact for one of the calls (the data was edited), a new MLflow run begins.

    Raises:
        IntegrityError: a loss curve cannot be read.
    """
    wanted = [(call.call_id, call.manifest.fingerprint) for call in calls]
    missing = missing_calls(logged, wanted)
    if logged is None or missing is None:
        mlflow_id = _start(client, name, run_id)
        missing = [call_id for call_id, _ in wanted]
    else:
        mlflow_id = logged.mlflow_id
    for call in calls:
        if call.call_id in missing:
            _log_call(client, mlflow_id, call)
    if status == "running":
        client.update_run(mlflow_id, status=STATUS[status])
    else:
        client.set_terminated(mlflow_id, status=STATUS[status])


def _start(client: MlflowClient, name: str, run_id: str) -> str:
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        experiment_id = client.create_experiment(name, artifact_location=_NO_ARTIFACTS)
    else:
        experiment_id = experiment.experiment_id
    return str(client.create_run(experiment_id, run_name=run_id, tags={RUN: run_id}).info.run_id)


def _log_call(client: MlflowClient, mlflow_id: str, call: TrackedCall) -> None:
    from mlflow.entities import Metric, Param

    manifest = call.manifest
    # The clock of the artifact, not of this projection: logging it twice changes nothing.
    time = int(datetime.fromisoformat(manifest.created_at).timestamp() * 1000)
    params = [
        Param(_key(call.call_id, path), _text(value)) for path, value in flatten(call.config) if value is not None
    ]
    numbers = {**dict(flatten(manifest.artifact)), **dict(flatten(manifest.cost.model_dump(), ("cost",)))}
    metrics = [Metric(_key(call.call_id, path), value, time, 0) for path, value in _finite(numbers.items())]
    for params_part in _parts(params, _PARAMS_PER_BATCH):
        client.log_batch(mlflow_id, params=params_part)
    for metrics_part in _parts([*metrics, *_curve(call, time)], _METRICS_PER_BATCH):
        client.log_batch(mlflow_id, metrics=metrics_part)
    client.set_tag(mlflow_id, f"{CALL}{call.call_id}", manifest.fingerprint)


def _curve(call: TrackedCall, time: int) -> list[Metric]:
    """Return the points of ``log.jsonl``, by step."""
    from mlflow.entities import Metric

    if call.curve is None:
        return []
    points = []
    for number, line in enumerate(call.curve.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            values = json.loads(line)
            step = int(values.pop("step"))
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            raise IntegrityError(
                f"line {number} is not a logged step", where=str(call.curve), fix="run again with --fresh train"
            ) from error
        keyed = (((key,), value) for key, value in values.items())
        points += [Metric(_key(call.call_id, ("curve", *path)), value, time, step) for path, value in _finite(keyed)]
    return points


def flatten(value: Mapping[str, JsonValue], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], JsonValue]]:
    """Yield the leaves of nested mappings with their paths; lists are leaves, places are left out."""
    for key, inner in value.items():
        if key in _PLACES:
            continue
        if isinstance(inner, dict):
            yield from flatten(inner, (*path, key))
        else:
            yield (*path, key), inner


def _finite(items: Iterable[tuple[tuple[str, ...], JsonValue]]) -> Iterator[tuple[tuple[str, ...], float]]:
    """Yield the leaves that are finite numbers."""
    for path, value in items:
        if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
            yield path, float(value)


def _key(call_id: str, path: tuple[str, ...]) -> str:
    """Return a key of the characters that MLflow takes on every system."""
    return re.sub(r"[^\w.\- ]", "_", ".".join((call_id, *path)))[:_KEY_LENGTH]


def _text(value: JsonValue) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text[:_VALUE_LENGTH]


def _parts(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
