"""Resolving a run description: files to digests, Hub names to commits, versions to artifacts, defaults to values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.core.errors import ConfigError, IntegrityError
from pipeline.core.registry import RegisteredVersion, Registry
from pipeline.core.workspace import Store
from pipeline.evaluate.harness_file import harness_config
from pipeline.execute import load_held, load_version
from pipeline.resolve.bases import Bases, Runs, check_answers
from pipeline.resolve.metrics import Metrics
from pipeline.resolve.sources import Sources, data_options
from schemas.artifacts import Stored
from schemas.base import ArtifactRef
from schemas.base_model import BaseModelRef
from schemas.bias import BiasProbe
from schemas.evaluate import HarnessOptions, MetricSpec
from schemas.judge import JudgeSpec
from schemas.optimize import only_vllm
from schemas.register import RegisterArtifact
from schemas.resolved import Champion, ResolvedJudge, ResolvedProbe, ResolvedRetention, ResolvedRun
from schemas.retention import reads_base_rows
from schemas.run import BaseModelSpec, HarnessTask, RunSpec

DEFAULT_RETENTION_MARGIN = 0.03


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

    @property
    def sources(self) -> Sources:
        """Files and Hub names."""
        return Sources(self.folder, self.store.root / "digests.json", self.token, self.for_plan)

    @property
    def bases(self) -> Bases:
        """Base models."""
        return Bases(self.sources, self.store, self.registry, self.runs, self.embedded)

    @property
    def metrics(self) -> Metrics:
        """What answers are scored by."""
        return Metrics(self.sources, self.bases)

    def resolve(self, spec: RunSpec) -> ResolvedRun:
        """Return the run that ``spec`` describes, its champion left open.

        Raises:
            ConfigError, SourceError, ModelError, RegistryError: a reference leads nowhere.
            IntegrityError: the version that it starts from is not what was registered.
        """
        base, parent = self.bases.resolve(spec.base_model)
        if not spec.ranks:
            check_answers(base)
        metrics = self.metrics.of_run(spec)
        retention, waived = self._retention(spec, parent)
        retention += tuple(self._harness(task) for task in spec.evaluate.harness)
        return ResolvedRun(
            spec=spec,
            base=base,
            data=self.sources.files(spec.data, "data"),
            metrics=metrics,
            retention=retention,
            retention_waived=waived,
            judge=self._judge(spec.evaluate.judge),
            rewards=tuple(self.metrics.reward(reward) for reward in spec.train.rewards),
            teacher=self._teacher(spec),
            bias=tuple(self._probe(probe) for probe in spec.evaluate.bias),
            benchmarks=tuple(self.sources.source(path, "preflight.benchmarks") for path in spec.preflight.benchmarks),
            parent=parent.ref if parent is not None else None,
            trained=self._trained(base, parent),
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

    def _teacher(self, spec: RunSpec) -> BaseModelRef | None:
        if spec.train.teacher is None:
            return None
        key = f"train.{spec.train.method}.teacher"
        teacher, _ = self.bases.resolve(BaseModelSpec(name=spec.train.teacher), key)
        check_answers(teacher, key)
        return teacher

    def _judge(self, spec: JudgeSpec | None) -> ResolvedJudge | None:
        if spec is None:
            return None
        named = {name: getattr(spec, name) for name in ResolvedJudge.model_fields}
        return ResolvedJudge(
            **{
                name: self.sources.source(text, f"evaluate.judge.{name}")
                for name, text in named.items()
                if text is not None
            }
        )

    def _probe(self, probe: BiasProbe) -> ResolvedProbe:
        key = f"evaluate.bias.{probe.name}"
        files = {name: self.sources.source(text, f"{key}.{name}") for name, text in probe.paths.items()}
        return ResolvedProbe(probe=probe, files=files)

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
                metric=self.metrics.metric(task.metric),
                margin=task.margin,
                files=self.sources.files(task.data, f"evaluate.retention.{task.name}.data"),
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
            task.task, HarnessOptions(**options), lambda text: self.sources.source(text, key), self.sources.digest
        )
        return ResolvedRetention(
            name=task.name, metric=MetricSpec(name=task.metric), margin=task.margin, harness=config
        )
