"""The rows of a training as tokens: its own, those replayed, and those for validation."""

from __future__ import annotations

import random
from dataclasses import dataclass

from pipeline.backends.training.job import Row
from pipeline.core.context import CallContext
from pipeline.core.errors import ConfigError, DataError
from pipeline.core.examples import read_examples
from pipeline.render import RenderedRows, Tokenizer, render_examples
from pipeline.train.methods import METHODS, check_kind
from pipeline.train.replay import draw_replay
from schemas.artifacts import Stored
from schemas.data import DataArtifact, Example, Split
from schemas.render import RenderReport
from schemas.train import TrainConfig, TrainInputs


@dataclass(frozen=True)
class TrainingRows:
    """Tokens to train on and to validate with; the report is of the data's own training rows."""

    train: list[Row]
    validation: list[Row]
    report: RenderReport
    replayed: dict[str, int]


def read_split(data: Stored[DataArtifact], split: Split) -> list[Example]:
    """Return a split's rows; none where the data has no such split."""
    relative = data.artifact.files.get(split)
    return [] if relative is None else read_examples(data.file(relative))


def prepare_rows(
    config: TrainConfig,
    inputs: TrainInputs,
    own: list[Example],
    tokenizer: Tokenizer,
    context: CallContext,
) -> TrainingRows:
    """Render and check all rows, and mix in what is replayed.

    Raises:
        RenderError: the preflight refuses rows.
        DataError: the data is of a kind that the method does not learn from.
        ConfigError: replay or early stopping is asked for without the data that it needs.
    """
    rendered = _render(config, own, tokenizer, "train")
    if rendered.report.dropped_long or rendered.report.truncated:
        _say_long(rendered.report, config, context)
    train, replayed = list(rendered.rows), {}
    if config.replay is not None:
        for name, rows in _replay(config, inputs, len(train), tokenizer).items():
            replayed[name] = len(rows)
            train.extend(rows)
        random.Random(config.seed).shuffle(train)  # noqa: S311  no secret
    validation = _validation(config, inputs, tokenizer)
    return TrainingRows(train, validation, rendered.report, replayed)


def _render(config: TrainConfig, examples: list[Example], tokenizer: Tokenizer, source: str) -> RenderedRows:
    return render_examples(examples, tokenizer, config, config.max_length, source=source)


def _replay(config: TrainConfig, inputs: TrainInputs, own: int, tokenizer: Tokenizer) -> dict[str, list[Row]]:
    assert config.replay is not None
    if not METHODS[config.method].replay:
        raise ConfigError(
            f"replay mixes rows of other tasks in, which method {config.method} cannot learn from",
            where="train.replay",
            fix="remove train.replay, or set train.method to sft",
        )
    if not inputs.replay:
        raise ConfigError(
            "there is no data to replay",
            where="train.replay",
            fix="name the base's own tasks under evaluate.retention, or remove train.replay",
        )
    tasks = {}
    for name, data in inputs.replay.items():
        check_kind(config.method, data.artifact.kind, f"replay {name}")
        tasks[name] = read_split(data, "train")
        if not tasks[name]:
            raise DataError(
                "there is no training row to replay", where=f"replay {name}", fix="give it more rows"
            )
    drawn = draw_replay(tasks, own, config.replay.share, config.seed)
    return {
        name: _render(config, rows, tokenizer, f"replay {name}").rows if rows else []
        for name, rows in drawn.items()
    }


def _validation(config: TrainConfig, inputs: TrainInputs, tokenizer: Tokenizer) -> list[Row]:
    examples = read_split(inputs.data, "validation")
    if examples:
        return _render(config, examples, tokenizer, "validation").rows
    if config.early_stopping_patience is not None or config.eval_steps is not None:
        raise ConfigError(
            "there are no validation rows to evaluate on",
            where="train.early_stopping_patience" if config.early_stopping_patience else "train.eval_steps",
            fix="set data.split.validation above 0, or remove the key",
        )
    return []


def _say_long(report: RenderReport, config: TrainConfig, context: CallContext) -> None:
    done = f"{report.truncated} cut" if report.truncated else f"{report.dropped_long} dropped"
    context.warn(
        f"of {report.rows} training rows {done}: longer than max_length {config.max_length} (longest {report.longest})",
        dropped=report.dropped_long,
        truncated=report.truncated,
    )
