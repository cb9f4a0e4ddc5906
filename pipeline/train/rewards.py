"""What a training rewards: metrics and reward models with weights, tried on the rows before anything is trained."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pipeline.core.context import CallContext
from pipeline.core.errors import ConfigError, DataError
from pipeline.core.findings import named_rows
from pipeline.core.models import model_files
from pipeline.metrics import BertScore, CodeExecution
from pipeline.metrics.build import build_metric
from pipeline.render import RenderedPrompt
from pipeline.train import backends
from pipeline.train.backends import MetricReward, ModelReward, Reward, Row
from schemas.base_model import BaseModelRef
from schemas.metric import REWARD_MODEL, RewardSpec
from schemas.train import TrainConfig


def load_rewards(
    config: TrainConfig, labels: Sequence[str] | None, rows: Iterable[Row], context: CallContext
) -> tuple[Reward, ...]:
    """Return the rewards of a config; every row's answer must be one that its metrics can compare with.

    Raises:
        ConfigError: a metric cannot be built, reads a model of its own, or is better where it is lower.
        ModelError: what is named as a reward model is none.
        EnvironmentMissing, SourceError, IntegrityError: as `build_metric`.
        DataError: rows whose answer is empty, or is not what a metric takes; they are named.
    """
    specs, prompts = config.rewards, [row for row in rows if isinstance(row, RenderedPrompt)]
    empty = [row.row for row in prompts if not row.reference.strip()]
    if empty and any(spec.name != REWARD_MODEL for spec in specs):
        raise DataError(
            f"rows have no answer in words to compare with ({named_rows(empty)})",
            where="data",
            fix="complete these rows, or remove them",
        )
    return tuple(
        _load_model(spec, config, context) if spec.name == REWARD_MODEL else _load(spec, labels, prompts)
        for spec in specs
    )


def _load_model(spec: RewardSpec, config: TrainConfig, context: CallContext) -> Reward:
    key = f"train.rewards: {spec.name}"
    context.emit("log", "loading the reward model")
    model = backends.load_reward_model(model_files(BaseModelRef(name=spec.name, weights=spec.model)), key)
    return ModelReward(spec.name, spec.weight, model, config.per_device_train_batch_size)


def _load(spec: RewardSpec, labels: Sequence[str] | None, prompts: Sequence[RenderedPrompt]) -> Reward:
    where = f"train.rewards: {spec.name}"
    metric = build_metric(spec, labels)
    if isinstance(metric, BertScore) or not metric.higher_is_better:
        told = "reads a model of its own" if isinstance(metric, BertScore) else "is better where it is lower"
        raise ConfigError(f"a metric that {told} cannot be a reward", where=where, fix="reward by another metric")
    if not isinstance(metric, CodeExecution):  # which would run every row's tests
        for prompt in prompts:
            try:
                metric.item(prompt.reference, prompt.reference)
            except DataError as error:
                raise DataError(error.message, where=f"{where}, source row {prompt.row}", fix=error.fix) from error
    return MetricReward(spec.name, spec.weight, metric)
