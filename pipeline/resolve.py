"""Resolving a run description: files to digests, Hub names to commits, versions to artifacts, defaults to values."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol, TypeVar

from pipeline.core.digests import DigestCache
from pipeline.core.errors import ConfigError, IntegrityError, ModelError, SourceError
from pipeline.core.integrity import verify_once
from pipeline.core.paths import expand
from pipeline.core.references import unresolved
from pipeline.core.registry import RegisteredVersion, Registry, resolve
from pipeline.core.workspace import Store
from pipeline.evaluate.harness_file import harness_config
from pipeline.execute import load, load_held, load_version
from schemas.artifacts import Stored
from schemas.base import ArtifactRef, Reference
from schemas.bias import BiasProbe
from schemas.data import DataFiles, DataOptions
from schemas.evaluate import HarnessOptions, MetricSpec
from schemas.judge import JudgeSpec
from schemas.metric import REWARD_MODEL, RewardSpec
from schemas.optimize import only_vllm
from schemas.plan import Task
from schemas.register import RegisterArtifact
from schemas.resolved import Champion, ResolvedJudge, ResolvedProbe, ResolvedRetention, ResolvedRun
from schemas.retention import reads_base_rows
from schemas.run import BaseModelSpec, DataSpec, HarnessTask, RunSpec
from schemas.scoring import PAIRWISE_ACCURACY
from schemas.train import BaseModelRef, ModelInit, TokenizerSpec, TrainArtifact

DEFAULT_METRICS: dict[Task, tuple[str, ...]] = {
    "classification": ("accuracy", "macro_f1"),
    "extraction": ("json_exact_match", "field_f1", "json_validity"),
    "generation": ("exact_match",),
}
"""Metrics of a task where the spec names none; the first is the primary one."""

DEFAULT_RETENTION_MARGIN = 0.03

Named = TypeVar("Named", bound=MetricSpec)
"""A metric, with what else is said of it."""

_HUB_ID = re.compile(r"^[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*$")
_VERSION = re.compile(r"^[a-z0-9][a-z0-9._-]*@[a-z0-9]+$")
_COMMIT = re.compile(r"^[0-9a-f]{40}$")


class Runs(Protocol):
    """Finished runs of this workspace by name or id."""

    def register_artifact(self, run: str) -> ArtifactRef:
        """Return the register artifact of the newest run called ``run``; raises ConfigError where there is none."""


@dataclass(frozen=True)
class Resolver:
    """Resolves against one machine: its files, its workspace, its registry.

    Args:
        folder: where relative paths of the description start.
        store: the workspace's artifacts.
        registry: opens what holds versions and aliases; called only where a version is named.
        runs: finished runs of the workspace.
        embedded: bases that come with the runner, by name (``hone:tiny``).
        token: the Hub's token, if there is one.
        for_plan: a base of the Hub whose commit cannot be had is left unresolved, which is enough for a plan.
    """

    folder: Path
    store: Store
    registry: Callable[[], Registry]
    runs: Runs
    embedded: Mapping[str, Path]
    token: str | None = field(default=None, repr=False)
    for_plan: bool = False

    def resolve(self, spec: RunSpec) -> ResolvedRun:
        """Return the run that ``spec`` describes, its champion left open.

        Raises:
            ConfigError, SourceError, ModelError, RegistryError: a reference leads nowhere.
            IntegrityError: the version that it starts from is not what was registered.
        """
        base, parent = self._base(spec.base_model)
        if not spec.ranks:
            _check_answers(base)
        usual = (PAIRWISE_ACCURACY,) if spec.ranks else DEFAULT_METRICS[spec.task]
        names = spec.evaluate.metrics or tuple(MetricSpec(name=name) for name in usual)
        metrics = tuple(self._metric(metric) for metric in names)
        _check_targets(spec, metrics)
        _check_measures(spec)
        retention, waived = self._retention(spec, parent)
        retention += tuple(self._harness(task) for task in spec.evaluate.harness)
        return ResolvedRun(
            spec=spec,
            base=base,
            data=self._files(spec.data, "data"),
            metrics=metrics,
            retention=retention,
            retention_waived=waived,
            judge=self._judge(spec.evaluate.judge),
            rewards=tuple(self._reward(reward) for reward in spec.train.rewards),
            teacher=self._teacher(spec),
            bias=tuple(self._probe(probe) for probe in spec.evaluate.bias),
            benchmarks=tuple(self._source(path, "preflight.benchmarks") for path in spec.preflight.benchmarks),
            parent=parent.ref if parent is not None else None,
            trained=self._trained(base, parent),
        )

    def _cache(self) -> DigestCache:
        return DigestCache(self.store.root / "digests.json")

    def _path(self, text: str) -> Path:
        path = expand(text)
        return path if path.is_absolute() else self.folder / path

    def _files(self, data: DataSpec, key: str) -> DataFiles:
        named = {name: getattr(data, name) for name in ("path", "validation_path", "test_path")}
        found = {
            name: self._source(text, f"{key}.{name}", data.revision) for name, text in named.items() if text is not None
        }
        if data.revision is not None and not any(_HUB_ID.match(reference.location) for reference in found.values()):
            raise ConfigError(
                "files and folders have no revisions", where=f"{key}.revision", fix="remove the key, or name a Hub id"
            )
        return DataFiles(train=found["path"], validation=found.get("validation_path"), test=found.get("test_path"))

    def _source(self, text: str, key: str, revision: str | None = None) -> Reference:
        if "://" in text:
            raise SourceError(
                "addresses are not read", where=f"{key}: {text}", fix="download the file and give its path"
            )
        path = self._path(text)
        if path.exists():
            return Reference(location=str(path.resolve()), digest=self._cache().digest(path))
        if is_hub_id(text):
            return Reference(location=text, digest=self._commit(text, "dataset", revision, key))
        siblings = [found.name for found in path.parent.iterdir()] if path.parent.is_dir() else []
        near = difflib.get_close_matches(path.name, siblings, n=1)
        fix = f"did you mean {near[0]}?" if near else f"check {key} in the run description"
        raise SourceError("no such file or folder", where=f"{key}: {path}", fix=fix)

    def _commit(self, repo_id: str, kind: Literal["model", "dataset"], revision: str | None, key: str) -> str:
        from pipeline.backends.revision_huggingface import resolve_commit

        return resolve_commit(repo_id, kind, revision, self.token, key)

    def _hub_base(self, name: str, revision: str | None, key: str) -> Reference:
        """Return a base of the Hub at the commit that its revision means now.

        For a plan, one that cannot be looked up stays unresolved, unless the revision is a commit already.
        """
        if not self.for_plan:
            return Reference(location=name, digest=self._commit(name, "model", revision, key))
        from pipeline.backends.revision_huggingface import find_commit

        commit = find_commit(name, "model", revision, self.token, key)
        if commit is None and revision is not None and _COMMIT.match(revision):
            commit = revision
        return unresolved(name, revision) if commit is None else Reference(location=name, digest=commit)

    def _teacher(self, spec: RunSpec) -> BaseModelRef | None:
        if spec.train.teacher is None:
            return None
        key = f"train.{spec.train.method}.teacher"
        teacher, _ = self._base(BaseModelSpec(name=spec.train.teacher), key)
        _check_answers(teacher, key)
        return teacher

    def _reward(self, reward: RewardSpec) -> RewardSpec:
        if reward.name == REWARD_MODEL:
            return self._reward_model(reward)
        resolved = self._metric(reward)
        if resolved.model is not None:
            raise ConfigError(
                f"{reward.name} reads a model of its own, which no training loads",
                where="train.rewards",
                fix="reward by another metric",
            )
        return resolved

    def _reward_model(self, reward: RewardSpec) -> RewardSpec:
        base, _ = self._base(BaseModelSpec(name=str(reward.params["model"])), "train.rewards: reward_model")
        model = base.weights
        assert model is not None
        # What the model is counts, not where it lies.
        return reward.model_copy(update={"model": model, "params": {"model": model.digest}})

    def _metric(self, metric: Named) -> Named:
        if ":" not in metric.name:
            from pipeline.metrics.build import check_metric

            check_metric(metric)
            if isinstance(folder := metric.params.get("model"), str):
                model = self._source(folder, f"evaluate.metrics.{metric.name}.model")
                # What the model is counts, not where it lies.
                return metric.model_copy(update={"model": model, "params": {**metric.params, "model": model.digest}})
            return metric
        path = self._path(metric.name.rsplit(":", 1)[0])
        if not path.is_file():
            raise SourceError("no such metric file", where=f"evaluate.metrics: {path}", fix="check the path")
        code = Reference(location=str(path.resolve()), digest=self._cache().digest(path))
        return metric.model_copy(update={"code": code})

    def _judge(self, spec: JudgeSpec | None) -> ResolvedJudge | None:
        if spec is None:
            return None
        named = {name: getattr(spec, name) for name in ResolvedJudge.model_fields}
        return ResolvedJudge(
            **{name: self._source(text, f"evaluate.judge.{name}") for name, text in named.items() if text is not None}
        )

    def _probe(self, probe: BiasProbe) -> ResolvedProbe:
        key = f"evaluate.bias.{probe.name}"
        files = {name: self._source(text, f"{key}.{name}") for name, text in probe.paths.items()}
        return ResolvedProbe(probe=probe, files=files)

    def _base(
        self, spec: BaseModelSpec, key: str = "base_model"
    ) -> tuple[BaseModelRef, Stored[RegisterArtifact] | None]:
        """Return the base, and the version record it comes from where it is one of hone's.

        ``key`` of the run description names it in errors.
        """
        if spec.init is not None:
            return BaseModelRef(name=spec.init.model_type, init=self._init(spec)), None
        assert spec.name is not None
        name = spec.name
        if name in self.embedded:
            return self._folder_base(name, self.embedded[name], spec, key), None
        if name.startswith("hone:"):
            raise ModelError(
                "no such embedded base", where=f"{key}: {name}", fix=f"known: {', '.join(sorted(self.embedded))}"
            )
        if name.startswith("run:"):
            return self._version_base(
                load(self.store, self.runs.register_artifact(name.removeprefix("run:"))), name, spec, key
            )
        path = self._path(name)
        if _VERSION.match(name) and not path.exists():
            found = resolve(self.registry(), name)
            return self._version_base(load_version(self.store, found), str(found), spec, key)
        if path.is_dir():
            return self._folder_base(path.name, path, spec, key), None
        if _HUB_ID.match(name):
            weights = self._hub_base(name, spec.revision, key)
            return BaseModelRef(name=name, weights=weights, trust_remote_code=spec.trust_remote_code), None
        raise ModelError(
            "no such model folder, Hub id (org/name), run (run:NAME) or version (name@champion)",
            where=f"{key}: {name}",
            fix="check the name; the embedded base is hone:tiny",
        )

    def _folder_base(self, name: str, path: Path, spec: BaseModelSpec, key: str) -> BaseModelRef:
        if not (path / "config.json").is_file():
            raise ModelError("the folder holds no config.json", where=f"{key}: {path}", fix="name a model's folder")
        if spec.revision is not None:
            raise ConfigError("a folder has no revisions", where=f"{key}.revision", fix="remove the key")
        weights = Reference(location=str(path.resolve()), digest=self._cache().digest(path))
        return BaseModelRef(name=name, weights=weights, trust_remote_code=spec.trust_remote_code)

    def _version_base(
        self, record: Stored[RegisterArtifact], name: str, spec: BaseModelSpec, key: str
    ) -> tuple[BaseModelRef, Stored[RegisterArtifact]]:
        lineage = record.artifact.lineage
        shipped = load_held(self.store, lineage, lineage.models[record.artifact.shipped])
        if isinstance(shipped.artifact, TrainArtifact) and shipped.artifact.kind == "full":
            source = shipped
        elif "merged" in lineage.variants:
            source = load_held(self.store, lineage, lineage.variants["merged"])
        else:
            raise ModelError(
                "this version is an adapter and has no merged variant to train on",
                where=f"{key}: {name}",
                fix="add `merged` to its variants and run it again",
            )
        if spec.revision is not None:
            raise ConfigError("a version has no revisions", where=f"{key}.revision", fix="remove the key")
        verify_once(self.store, source.ref)
        folder = source.path / source.artifact.model
        weights = Reference(location=str(folder), digest=self._cache().digest(folder))
        base = BaseModelRef(name=name, weights=weights, trust_remote_code=spec.trust_remote_code)
        return base, record

    def _init(self, spec: BaseModelSpec) -> ModelInit:
        init = spec.init
        assert init is not None
        common = {"model_type": init.model_type, "config": init.config, "chat_template": init.chat_template}
        if isinstance(init.tokenizer, TokenizerSpec):
            return ModelInit(**common, tokenizer=init.tokenizer)
        tokenizer, _ = self._base(BaseModelSpec(name=init.tokenizer, revision=spec.revision))
        return ModelInit(**common, tokenizer_from=tokenizer.weights)

    def _retention(
        self, spec: RunSpec, parent: Stored[RegisterArtifact] | None
    ) -> tuple[tuple[ResolvedRetention, ...], str | None]:
        asked, waived = spec.evaluate.retention, spec.evaluate.retention_waived
        if asked and waived:
            raise ConfigError(
                "retention is both given and waived", where="evaluate.retention_waived", fix="keep one of the two"
            )
        if asked is None and waived is None and parent is not None and not spec.ranks:
            own = ResolvedRetention(
                name=parent.artifact.name,
                metric=parent.artifact.metric,
                margin=DEFAULT_RETENTION_MARGIN,
                artifact=load_held(self.store, parent.artifact.lineage, parent.artifact.lineage.data).ref,
            )
            return (own,), None
        if not asked and spec.train.reads_base_rows:
            needs = ", ".join(method.method for method in spec.train.retention if reads_base_rows(method))
            raise ConfigError(
                f"rows of the base's own tasks are needed ({needs}), and no task is named",
                where="train.retention",
                fix="name one in evaluate.retention",
            )
        tasks = tuple(
            ResolvedRetention(
                name=task.name,
                metric=self._metric(task.metric),
                margin=task.margin,
                files=self._files(task.data, f"evaluate.retention.{task.name}.data"),
                options=data_options(task.data),
            )
            for task in asked or ()
        )
        return tasks, waived

    def _trained(self, base: BaseModelRef, parent: Stored[RegisterArtifact] | None) -> dict[str, ArtifactRef]:
        """Return what the base has learned from as a version, by name: its own data, and what that names in turn."""
        if parent is None:
            return {}
        own = load_held(self.store, parent.artifact.lineage, parent.artifact.lineage.data)
        before = {f"{name}, before {base.name}": ref for name, ref in own.artifact.trained.items()}
        return {base.name: own.ref, **before}

    def _harness(self, task: HarnessTask) -> ResolvedRetention:
        key = f"evaluate.harness.{task.name}.task"
        options = {name: getattr(task, name) for name in HarnessOptions.model_fields}
        config = harness_config(
            task.task, HarnessOptions(**options), lambda text: self._source(text, key), self._cache().digest
        )
        return ResolvedRetention(
            name=task.name, metric=MetricSpec(name=task.metric), margin=task.margin, harness=config
        )

    def champion(self, spec: RunSpec) -> Champion | None:
        """Return the version that a new run of ``spec`` has to beat, if one serves now.

        Raises:
            IntegrityError: its record or its model is missing, or has other content than when it was registered.
        """
        number = self.registry().alias(spec.name, "champion") if spec.evaluate.baselines.champion else None
        if number is None:
            return None
        version = self.registry().get_version(spec.name, number)
        try:
            return self._champion(version)
        except IntegrityError as error:
            raise IntegrityError(
                f"the champion {version} cannot be compared with: {error.message}",
                where="evaluate.baselines.champion",
                fix=f"promote another version (hone promote {spec.name}@N), "
                "or set evaluate.baselines.champion to false",
                detail=error.where,
            ) from error

    def _champion(self, version: RegisteredVersion) -> Champion:
        record = load_version(self.store, version)
        lineage, served = record.artifact.lineage, record.artifact.served_variant
        model = load_held(self.store, lineage, lineage.variants.get(served, lineage.models[record.artifact.shipped]))
        return Champion(
            version=version.version,
            model=model.ref,
            base=record.artifact.base,
            only_vllm=only_vllm(model.artifact),
        )


def is_hub_id(text: str) -> bool:
    """Tell whether data that are not on this machine are named as the Hub names data sets: ``owner/name``, no file."""
    return bool(_HUB_ID.match(text)) and not Path(text).suffix


def data_options(data: DataSpec) -> DataOptions:
    """Return how to read ``data``, without where it is."""
    return DataOptions.model_validate({name: getattr(data, name) for name in DataOptions.model_fields})


def _check_answers(base: BaseModelRef, key: str = "base_model") -> None:
    """Refuse a base of this machine that has one output for a text, and no words."""
    config = Path(base.weights.location) / "config.json" if base.weights is not None else None
    if config is None or not config.is_file():
        return
    try:
        names = json.loads(config.read_text(encoding="utf-8")).get("architectures") or ()
    except (ValueError, AttributeError):  # whoever loads it says what is wrong with it
        return
    if any("SequenceClassification" in str(name) for name in names):
        raise ModelError(
            "this model scores texts and writes none, so nothing learns to answer from it",
            where=f"{key}: {base.name}",
            fix="name the language model that it was made of; as a reward it goes into train.rewards",
        )


def _check_measures(spec: RunSpec) -> None:
    from pipeline.metrics import get_measure

    for measure in spec.evaluate.measures:
        get_measure(measure.name, **measure.params)


def _check_targets(spec: RunSpec, metrics: tuple[MetricSpec, ...]) -> None:
    names = [metric.name for metric in metrics]
    for name in spec.evaluate.target:
        if name not in names:
            raise ConfigError(
                f"the target names {name}, which is not measured",
                where=f"evaluate.target.{name}",
                fix=f"add it to evaluate.metrics, or use one of {', '.join(names)}",
            )
