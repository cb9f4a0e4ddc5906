"""What a training rewards: metrics with weights, tried on the rows' own answers before anything is trained."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pipeline.core.errors import ConfigError, DataError
from pipeline.core.findings import named_rows
from pipeline.metrics import BertScore, CodeExecution
from pipeline.metrics.build import build_metric
from pipeline.render import RenderedPrompt
from pipeline.train.backends import Reward, Row
from schemas.metric import RewardSpec


def load_rewards(specs: Sequence[RewardSpec], labels: Sequence[str] | None, rows: Iterable[Row]) -> tuple[Reward, ...]:
    """Return the rewards of a config; every row's answer must be one that they can compare with.

    Raises:
        ConfigError: a metric cannot be built, reads a model of its own, or is better where it is lower.
        EnvironmentMissing, SourceError, IntegrityError: as `build_metric`.
        DataError: rows whose answer is empty, or is not what a metric takes; they are named.
    """
    prompts = [row for row in rows if isinstance(row, RenderedPrompt)]
    empty = [row.row for row in prompts if not row.reference.strip()]
    if empty and specs:
        raise DataError(
            f"rows have no answer in words to compare with ({named_rows(empty)})",
            where="data",
            fix="complete these rows, or remove them",
        )
    return tuple(_load(spec, labels, prompts) for spec in specs)


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
    return Reward(spec.name, spec.weight, metric)
