"""Retraining: from a registered version and new rows to a run description, with the files that it trains on.

The description is that of the version's run: same name, task and base, same settings. What a retraining adds is that
the held-out rows are those of the version, so that champion and challenger answer the same items, and that the champion
is one of the baselines, so that the same gate decides between them. Nothing here depends on a clock: the same request
about the same version gives the same files, and so the same run.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any
from uuid import uuid4

import yaml

from pipeline.control.retraining_rows import OwnRows, is_hub, new_rows, new_source, write_rows
from pipeline.control.runs import RunList
from pipeline.control.session import Prepared, Session
from pipeline.core.context import CallContext
from pipeline.core.errors import IntegrityError
from pipeline.core.integrity import verify_once
from pipeline.core.registry import RegisteredVersion, Registry, resolve
from pipeline.core.spec import set_keys, validate_spec
from pipeline.core.workspace import Store, content_digest, fsync_tree, list_files
from pipeline.embedded import EMBEDDED
from pipeline.execute import load_held, load_version
from pipeline.resolve import data_options
from schemas.artifacts import Stored
from schemas.base import Reference, canonical_digest
from schemas.data import DataArtifact, Split
from schemas.register import RegisterArtifact
from schemas.resolved import ResolvedRetention, ResolvedRun, RunFile
from schemas.run import RunSpec
from schemas.webhook import UPLOADS, RetrainRequest

DESCRIPTION = "retrain.yaml"
_NAME_LENGTH = 16


@dataclass(frozen=True)
class Retraining:
    """A retraining that is written down.

    ``description`` is a file that `Session.resolve` and ``hone run`` take; the relative paths of ``spec`` start at its
    folder. ``origin`` is the run that made ``version``.
    """

    version: RegisteredVersion
    origin: RunFile
    request: RetrainRequest
    spec: RunSpec
    description: Path

    def check(self, run: ResolvedRun) -> None:
        """Refuse a resolved run whose base or metric is another than the version's: names may lead elsewhere by now.

        Raises:
            IntegrityError: the base has other weights, or a metric of the user's other code.
        """
        if self.request.start_from == "base" and canonical_digest(run.base) != canonical_digest(self.origin.base):
            raise IntegrityError(
                f"{run.base.name} is no longer the base that {self.version} was trained from",
                where="base_model",
                fix="put back what it was, or retrain by hand",
            )
        for metric, before in zip(run.metrics, self.origin.metrics, strict=False):
            if metric.code is not None and before.code is not None and metric.code.digest != before.code.digest:
                raise IntegrityError(
                    f"the metric is no longer what {self.version} was measured by",
                    where=metric.code.location,
                    fix="put back what it was, or retrain by hand",
                )


def prepare_retraining(session: Session, request: RetrainRequest) -> Prepared:
    """Write a retraining down as a run that `Session.carry_out` takes; the same request is the same run.

    Raises:
        HoneError: see `write_retraining` and `Retraining.check`, or whatever its description names cannot be had.
    """
    folder = session.root / UPLOADS / "retraining"
    made = write_retraining(request, session.root, session.open_registry(), folder, session.secrets)
    run = session.resolve_spec(made.spec, made.description.parent)
    made.check(run)
    return session.prepare(run)


def write_retraining(
    request: RetrainRequest, root: Path, registry: Registry, folder: Path, secrets: Mapping[str, str] | None = None
) -> Retraining:
    """Write the description of a retraining and its rows into a folder of their own below ``folder``.

    The folder is named after its content. Of the version's own data only what is held out has to be there where the
    rows are replaced.

    Args:
        request: what is asked for.
        root: the workspace.
        registry: knows its versions.
        folder: outlives the run; on the file system of the workspace.
        secrets: values by name (``HF_TOKEN`` for what is private on the Hub).

    Raises:
        RegistryError: there is no such version.
        ConfigError: an override does not fit, or named rows are not there. DataError: they cannot be read.
        SourceError: data of the version, or of the Hub, cannot be had.
        IntegrityError: the version's run or data are gone, or no longer what they were.
    """
    store = Store(root)
    version = resolve(registry, request.version)
    record = load_version(store, version)
    origin = find_origin(root, version, record)
    data: Stored[DataArtifact] = load_held(store, record.artifact.lineage, record.artifact.lineage.data)
    verify_once(store, data.ref)
    draft = folder / f".draft-{uuid4().hex}"
    draft.mkdir(parents=True)
    try:
        context = CallContext(call_id="retraining", secrets=secrets or {})
        own = OwnRows(str(version), origin.data, data_options(origin.spec.data), data, context)
        values = _described(request, origin, version, root)
        values["data"] |= _write_data(request, own, root, draft)
        spec = validate_spec(values, "overrides" if request.overrides else f"runs/{origin.run}/run.json")
        (draft / DESCRIPTION).write_text(_as_yaml(request, version, spec), encoding="utf-8", newline="\n")
        place = _keep(draft, folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return Retraining(version, origin, request, spec, place / DESCRIPTION)


def find_origin(root: Path, version: RegisteredVersion, record: Stored[RegisterArtifact]) -> RunFile:
    """Return the record of the run that made a version.

    Raises:
        IntegrityError: it is gone, damaged, or another run's.
    """
    digest = record.artifact.lineage.spec_digest
    directory = RunList(root).directory(f"{record.artifact.name}-{digest[:10]}")
    found = directory.read() if directory.exists() else None
    if found is None or found.spec_digest != digest:
        raise IntegrityError(
            f"the run that made {version} is {'gone' if found is None else 'not the one recorded here'}",
            where=str(directory.path / "run.json"),
            fix="put its folder back, or run its description again: finished stages are reused",
        )
    return found


def _described(request: RetrainRequest, origin: RunFile, version: RegisteredVersion, root: Path) -> dict[str, Any]:
    """Return the run's description with its references written so that they lead to the same things from anywhere."""
    values = set_keys(origin.spec.model_dump(mode="json"), request.overrides)
    base = str(version) if request.start_from == "version" else None
    values["base_model"] |= {"name": base, "init": None, "revision": None} if base else _base_model(origin, root)
    values["evaluate"]["baselines"]["champion"] = True
    values["promote"] = request.promote
    if values["preflight"]["benchmarks"] == list(origin.spec.preflight.benchmarks):
        values["preflight"]["benchmarks"] = [reference.location for reference in origin.benchmarks]
    values["constraints"] |= request.constraints.model_dump(mode="json", exclude_none=True)
    evaluate = values["evaluate"]
    named = {metric.name: _metric_name(metric.name, metric.code) for metric in origin.metrics}
    models = {metric.name: metric.model for metric in origin.metrics if metric.model is not None}
    told = {metric.name: metric.params for metric in origin.spec.evaluate.metrics}
    for metric in evaluate["metrics"]:
        if metric["name"] in models and metric["params"] == told.get(metric["name"]):
            metric["params"]["model"] = models[metric["name"]].location
        metric["name"] = named.get(metric["name"], metric["name"])
    rewarding = {reward.name: _metric_name(reward.name, reward.code) for reward in origin.rewards}
    if origin.teacher is not None and values["train"] == origin.spec.train.model_dump(mode="json"):
        assert origin.teacher.weights is not None
        values["train"][origin.spec.train.method]["teacher"] = origin.teacher.weights.location
    judging = {reward.name: reward.model for reward in origin.rewards if reward.model is not None}
    asked = {reward.name: reward.params for reward in origin.spec.train.rewards}
    for reward in values["train"]["rewards"]:
        if reward["name"] in judging and reward["params"] == asked.get(reward["name"]):
            reward["params"]["model"] = judging[reward["name"]].location
        reward["name"] = rewarding.get(reward["name"], reward["name"])
    evaluate["target"] = {named.get(name, name): value for name, value in evaluate["target"].items()}
    retention = {task.name: task for task in origin.retention}
    for task in evaluate["retention"] or ():
        task["data"] |= _task_files(retention[task["name"]])
    for task in evaluate["harness"]:
        harness = retention[task["name"]].harness
        if harness is not None and harness.file is not None:
            task["task"] = harness.file.location
    if origin.judge is not None and evaluate["judge"] is not None:
        _name_judge_files(origin, evaluate["judge"])
    return set_keys(values, dict(_probe_files(origin, evaluate["bias"])))


def _name_judge_files(origin: RunFile, asked: dict[str, Any]) -> None:
    """Say where the judge's files are; one that was overridden stays."""
    for name in ("template", "labels"):
        file = getattr(origin.judge, name)
        if file is not None and asked[name] == getattr(origin.spec.evaluate.judge, name):
            asked[name] = file.location


def _probe_files(origin: RunFile, asked: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """Yield each key of `evaluate.bias` that names a file, with where that is; probes that were overridden stay."""
    known = {resolved.probe.name: resolved for resolved in origin.bias}
    for number, probe in enumerate(asked):
        same = known.get(probe["name"])
        if same is not None and same.probe.model_dump(mode="json") == probe:
            yield from ((f"evaluate.bias.{number}.{key}", file.location) for key, file in same.files.items())


def _metric_name(name: str, code: Reference | None) -> str:
    return name if code is None else f"{code.location}:{name.rpartition(':')[2]}"


def _task_files(task: ResolvedRetention) -> dict[str, str]:
    """Return where a task's files are, and the commit of those on the Hub where it is one."""
    assert task.files is not None
    named = {"path": task.files.train, "validation_path": task.files.validation, "test_path": task.files.test}
    found = {name: reference for name, reference in named.items() if reference is not None}
    commits = {commit for reference in found.values() if (commit := _commit(reference)) is not None}
    revision = {"revision": commits.pop()} if len(commits) == 1 else {}
    return {name: reference.location for name, reference in found.items()} | revision


def _base_model(origin: RunFile, root: Path) -> dict[str, Any]:
    """Return what of `base_model:` has to be written anew to lead to the base that the run began with."""
    spec, weights = origin.spec.base_model, origin.base.weights
    if origin.base.init is not None:
        taken = origin.base.init.tokenizer_from
        if taken is None or spec.init is None:
            return {}
        init = {**spec.init.model_dump(mode="json"), "tokenizer": taken.location}
        return {"init": init, "revision": _commit(taken)}
    assert weights is not None
    if spec.name in EMBEDDED:
        return {}
    if origin.parent is not None:
        return {"name": _parent(origin, root)}
    return {"name": weights.location, "revision": _commit(weights)}


def _commit(reference: Reference) -> str | None:
    """Return the commit of a Hub reference; None for files of this machine."""
    return reference.digest if is_hub(reference) else None


def _parent(origin: RunFile, root: Path) -> str:
    """Return a name that leads to the version which was the base, whatever its aliases or its run's name do now."""
    if "@" in origin.base.name:
        return origin.base.name
    made = next((run for run in RunList(root).all() if run.registered() == origin.parent), None)
    if made is None:
        raise IntegrityError(
            f"the run that {origin.run} was based on is gone", where=origin.base.name, fix="put its folder back"
        )
    return f"run:{made.run}"


def _write_data(request: RetrainRequest, own: OwnRows, root: Path, draft: Path) -> dict[str, str | None]:
    """Write the rows of every split that is no file already; return the paths of `data:`."""
    held_out: list[Split] = [split for split in own.data.artifact.files if split != "train"]
    files = {split: own.held_out_file(split) for split in held_out}
    if request.hold_out:
        files["test"] = None  # it gets rows that its file does not have
    appended = request.combine == "append"
    rows = own.read([split for split in held_out if files[split] is None] + (["train"] if appended else []))
    paths = {f"{split}_path": str(path) if path is not None else f"{split}.jsonl" for split, path in files.items()}
    if request.data is not None and not (appended or own.keeps_groups or request.hold_out):
        paths["path"] = new_source(request.data, root)
    else:
        aside = chain.from_iterable(rows[split] for split in held_out if split in rows)
        new = own.without_held_out_groups(new_rows(request, root, own.context), aside)
        if request.hold_out:
            new, tested = own.part(new, request.hold_out)
            rows["test"] = own.mixed(rows["test"], tested)
        rows["train"] = rows.get("train", []) + new
        paths["path"] = "train.jsonl"
    for split, values in rows.items():
        write_rows(draft / f"{split}.jsonl", values)
    return {"validation_path": None, "test_path": None, "revision": None, **paths}


def _as_yaml(request: RetrainRequest, version: RegisteredVersion, spec: RunSpec) -> str:
    new = (
        f"{len(request.rows)} rows" if request.rows is not None else f"the rows of {request.data and request.data.path}"
    )
    done = "follow" if request.combine == "append" else "replace"
    text = yaml.safe_dump(spec.model_dump(mode="json", exclude_defaults=True), sort_keys=False, allow_unicode=True)
    return f"# A retraining of {version}: {new} {done} its training rows; what is held out is the same.\n{text}"


def _keep(draft: Path, folder: Path) -> Path:
    """Give a finished draft the name of its content, unless it is there already."""
    place = folder / content_digest(list_files(draft))[:_NAME_LENGTH]
    if not place.exists():
        fsync_tree(draft)
        try:
            draft.rename(place)
        except OSError:
            if not place.exists():  # another process wrote the same meanwhile
                raise
    return place
