"""Metrics and rewards by name: the files and models that they read, by digest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from pipeline.core.errors import ConfigError, SourceError
from pipeline.resolve.bases import Bases
from pipeline.resolve.sources import Sources
from schemas.base import Reference
from schemas.evaluate import MetricSpec
from schemas.metric import REWARD_MODEL, RewardSpec
from schemas.plan import Task
from schemas.run import BaseModelSpec, RunSpec
from schemas.scoring import PAIRWISE_ACCURACY

DEFAULT_METRICS: dict[Task, tuple[str, ...]] = {
    "classification": ("accuracy", "macro_f1"),
    "extraction": ("json_exact_match", "field_f1", "json_validity"),
    "generation": ("exact_match",),
}
"""Metrics of a task where the spec names none; the first is the primary one."""

Named = TypeVar("Named", bound=MetricSpec)
"""A metric, with what else is said of it."""


@dataclass(frozen=True)
class Metrics:
    """Resolves what answers are scored by."""

    sources: Sources
    bases: Bases

    def of_run(self, spec: RunSpec) -> tuple[MetricSpec, ...]:
        """Return the metrics that a run is judged by, the primary one first.

        Raises:
            ConfigError, SourceError: a metric is unknown, or what it reads is not there.
        """
        usual = (PAIRWISE_ACCURACY,) if spec.ranks else DEFAULT_METRICS[spec.task]
        names = spec.evaluate.metrics or tuple(MetricSpec(name=name) for name in usual)
        metrics = tuple(self.metric(metric) for metric in names)
        _check_targets(spec, metrics)
        _check_measures(spec)
        return metrics

    def reward(self, reward: RewardSpec) -> RewardSpec:
        """Return a reward with what it reads.

        Raises:
            ConfigError, SourceError, ModelError: it is unknown, what it reads is not there, or no training loads it.
        """
        if reward.name == REWARD_MODEL:
            return self._reward_model(reward)
        resolved = self.metric(reward)
        if resolved.model is not None:
            raise ConfigError(
                f"{reward.name} reads a model of its own, which no training loads",
                where="train.rewards",
                fix="reward by another metric",
            )
        return resolved

    def _reward_model(self, reward: RewardSpec) -> RewardSpec:
        base, _ = self.bases.resolve(BaseModelSpec(name=str(reward.params["model"])), "train.rewards: reward_model")
        model = base.weights
        assert model is not None
        return reward.model_copy(update={"model": model, "params": {"model": model.digest}})

    def metric(self, metric: Named) -> Named:
        """Return a metric with the code or the model that it reads; what they are counts, not where they lie.

        Raises:
            ConfigError, SourceError: it is unknown, or what it reads is not there.
        """
        if ":" not in metric.name:
            from pipeline.metrics.build import check_metric

            check_metric(metric)
            if isinstance(folder := metric.params.get("model"), str):
                model = self.sources.source(folder, f"evaluate.metrics.{metric.name}.model")
                return metric.model_copy(update={"model": model, "params": {**metric.params, "model": model.digest}})
            return metric
        path = self.sources.path(metric.name.rsplit(":", 1)[0])
        if not path.is_file():
            raise SourceError("no such metric file", where=f"evaluate.metrics: {path}", fix="check the path")
        code = Reference(location=str(path.resolve()), digest=self.sources.digest(path))
        return metric.model_copy(update={"code": code})


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
