"""Bringing what a description names on this machine to the Volume: data, a base's folder, a metric's code.

A file lies under its content's digest, so that it is sent once and never changes under a run that reads it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import modal
import modal.exception

from pipeline.core.digests import DigestCache
from pipeline.core.errors import ConfigError
from pipeline.core.paths import expand
from pipeline.core.spec import set_keys, validate_spec
from pipeline.embedded import EMBEDDED
from pipeline.evaluate.harness_file import is_task_file
from schemas.run import DataSpec, RunSpec

UPLOADS = "uploads"
_DIGITS = 16
_METRICS = ("evaluate.metrics.", "train.rewards.")


@dataclass(frozen=True)
class LocalSource:
    """A file or folder that a description names. ``suffix`` follows its path in the value (a metric's function)."""

    key: str
    path: Path
    suffix: str = ""


def local_sources(spec: RunSpec, folder: Path) -> Iterator[LocalSource]:
    """Yield what ``spec`` names that exists on this machine; relative paths start at ``folder``."""
    for key, text in _named(spec):
        is_code = key.endswith("metric.name") or (key.startswith(_METRICS) and key.endswith(".name"))
        name, _, function = text.rpartition(":") if is_code else (text, "", "")
        path = expand(name)
        found = path if path.is_absolute() else folder / path
        if key.startswith("evaluate.harness.") and is_task_file(name) and found.is_file():
            yield _task_folder(key, found.resolve(), folder)
        elif name and name not in EMBEDDED and found.exists():
            yield LocalSource(key, found.resolve(), f":{function}" if function else "")


def _task_folder(key: str, file: Path, folder: Path) -> LocalSource:
    """Return the folder of a harness task, which goes whole: the files that the task names stay beside it."""
    if folder.resolve().is_relative_to(file.parent):
        raise ConfigError(
            "the folder of a task file is sent whole, and this one holds the description, too",
            where=key,
            fix="put the task and its data files into a folder of their own",
        )
    return LocalSource(key, file.parent, f"/{file.name}")


def _named(spec: RunSpec) -> Iterator[tuple[str, str]]:
    """Yield every key whose value may be a path, with the value."""
    yield from _data("data", spec.data)
    for number, task in enumerate(spec.evaluate.retention or ()):
        yield from _data(f"evaluate.retention.{number}.data", task.data)
        if ":" in task.metric.name:
            yield f"evaluate.retention.{number}.metric.name", task.metric.name
    yield from _metrics(spec)
    yield from _teacher(spec)
    for number, harness in enumerate(spec.evaluate.harness):
        yield f"evaluate.harness.{number}.task", harness.task
    for number, probe in enumerate(spec.evaluate.bias):
        for name, path in probe.paths.items():
            yield f"evaluate.bias.{number}.{name}", path
    yield from _judge(spec)
    for number, path in enumerate(spec.preflight.benchmarks):
        yield f"preflight.benchmarks.{number}", path
    base = spec.base_model
    if base.name is not None:
        yield "base_model.name", base.name
    if base.init is not None and isinstance(base.init.tokenizer, str):
        yield "base_model.init.tokenizer", base.init.tokenizer


def _metrics(spec: RunSpec) -> Iterator[tuple[str, str]]:
    for number, metric in enumerate(spec.evaluate.metrics):
        if ":" in metric.name:
            yield f"evaluate.metrics.{number}.name", metric.name
        if isinstance(folder := metric.params.get("model"), str):
            yield f"evaluate.metrics.{number}.params.model", folder
    for number, reward in enumerate(spec.train.rewards):
        if ":" in reward.name:
            yield f"train.rewards.{number}.name", reward.name
        if isinstance(folder := reward.params.get("model"), str):
            yield f"train.rewards.{number}.params.model", folder


def _teacher(spec: RunSpec) -> Iterator[tuple[str, str]]:
    if spec.train.teacher is not None:
        yield f"train.{spec.train.method}.teacher", spec.train.teacher


def _judge(spec: RunSpec) -> Iterator[tuple[str, str]]:
    judge = spec.evaluate.judge
    for name in ("template", "labels") if judge is not None else ():
        if (path := getattr(judge, name)) is not None:
            yield f"evaluate.judge.{name}", path


def _data(key: str, data: DataSpec) -> Iterator[tuple[str, str]]:
    for name in ("path", "validation_path", "test_path"):
        value = getattr(data, name)
        if value is not None:
            yield f"{key}.{name}", value


def upload_sources(
    spec: RunSpec, folder: Path, volume: modal.Volume, announce: Callable[[str], None] = lambda _: None
) -> RunSpec:
    """Send what ``spec`` names on this machine, unless it is there, and return the description that names it there.

    Raises:
        SourceError: something cannot be read.
    """
    changes: dict[str, str] = {}
    for source in local_sources(spec, folder):
        digest = DigestCache(None).digest(source.path)
        place = f"{UPLOADS}/{digest[:_DIGITS]}/{source.path.name}"
        if not _is_there(volume, place):
            announce(f"uploading {source.path}")
            with volume.batch_upload(force=True) as batch:
                put = batch.put_directory if source.path.is_dir() else batch.put_file
                put(source.path, f"/{place}")
        changes[source.key] = place + source.suffix
    if not changes:
        return spec
    return validate_spec(set_keys(spec.model_dump(mode="json"), changes), source="the description on the Volume")


def _is_there(volume: modal.Volume, place: str) -> bool:
    try:
        return bool(volume.listdir(f"/{place}"))
    except (modal.exception.NotFoundError, FileNotFoundError):
        return False
