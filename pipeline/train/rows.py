"""The rows of a training as tokens: its own, those of the base's own tasks, and those for validation."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from pipeline.core.context import CallContext
from pipeline.core.errors import ConfigError, DataError
from pipeline.core.examples import read_examples
from pipeline.render import (
    Rendered,
    RenderedRows,
    RenderedVerdict,
    Tokenizer,
    as_prompt,
    render_examples,
    split_answer,
)
from pipeline.train.backends import Row
from pipeline.train.methods import check_kind
from pipeline.train.replay import draw_replay, draw_rows, replay_count
from schemas.artifacts import Stored
from schemas.data import DataArtifact, Example, Split
from schemas.methods import METHODS
from schemas.render import RenderReport
from schemas.retention import Interpolation, rows_read
from schemas.train import TrainConfig, TrainInputs


@dataclass(frozen=True)
class TrainingRows:
    """Tokens to train on and to validate with; the report is of the data's own training rows.

    ``base`` are rows of the base's own tasks, in a random order, which retention methods read beside what is replayed.
    """

    train: list[Row]
    validation: list[Row]
    base: list[Row]
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
    renderer = _Renderer(config, tokenizer, context)
    rendered = renderer.render(own, "train")
    train, replayed = list(rendered.rows), {}
    tasks = _base_tasks(config, inputs) if config.reads_base_rows else {}
    if config.replay is not None:
        for name, rows in _replay(config, config.replay.share, tasks, len(train), renderer).items():
            replayed[name] = len(rows)
            train.extend(rows)
        random.Random(config.seed).shuffle(train)  # noqa: S311  no secret
    base = _base_rows(config, tasks, renderer)
    validation = _validation(config, inputs, renderer)
    return TrainingRows(train, validation, base, rendered.report, replayed)


@dataclass(frozen=True)
class _Renderer:
    """Renders one set of rows after the other, with a bar, and says what is lost to ``max_length`` or to the loss."""

    config: TrainConfig
    tokenizer: Tokenizer
    context: CallContext

    def render(self, examples: list[Example], source: str) -> RenderedRows:
        shown = self.context.track(examples, f"rendering {source}", len(examples))
        config = self.config
        rendered = render_examples(
            shown, self.tokenizer, config, config.max_length, source=source, ignore=config.ignore
        )
        self._tell_lost(rendered.report, source)
        if config.rollout is not None:
            return _asked(rendered, config.rollout.max_completion_length)
        return _judged(rendered) if any(row.desirable is not None for row in rendered.examples) else rendered

    def _tell_lost(self, report: RenderReport, source: str) -> None:
        if report.dropped_long or report.truncated:
            done = f"{report.truncated} cut" if report.truncated else f"{report.dropped_long} dropped"
            ended = f"; {report.ended} of {report.kept} train an end of turn" if report.truncated else ""
            self.context.warn(
                f"{source}: of {report.rows} rows {done}: longer than max_length {self.config.max_length} "
                f"(longest {report.longest}){ended}",
                dropped=report.dropped_long,
                truncated=report.truncated,
                ended=report.ended,
            )
        if report.turns_left_out:
            self.context.warn(
                f"{source}: {report.turns_left_out} assistant turns before the last of their row are not trained, "
                "whatever their weight (train.completion_only_loss); to train every assistant turn set "
                "train.assistant_only_loss to true and train.completion_only_loss to false",
                turns_left_out=report.turns_left_out,
            )


def _asked(rendered: RenderedRows, room: int) -> RenderedRows:
    """Return the rows as questions, whose answers are not shown to the model."""
    pairs = zip(rendered.rows, rendered.examples, strict=True)
    asked: list[Row] = [as_prompt(row, example, room) for row, example in pairs if isinstance(row, Rendered)]
    return replace(rendered, rows=asked)


def _judged(rendered: RenderedRows) -> RenderedRows:
    """Return the rows as prompts and answers with the verdict on each."""
    judged: list[Row] = []
    for row, example in zip(rendered.rows, rendered.examples, strict=True):
        if isinstance(row, Rendered) and example.desirable is not None:
            judged.append(RenderedVerdict(*split_answer(row), example.desirable))
    return replace(rendered, rows=judged)


def _base_tasks(config: TrainConfig, inputs: TrainInputs) -> dict[str, list[Example]]:
    """Return the training rows of the base's own tasks."""
    if not METHODS[config.method].base_rows:
        raise ConfigError(
            f"rows of the base's own tasks are read, which method {config.method} cannot learn from",
            where="train.retention",
            fix="take a retention method that reads none, or set train.method to sft",
        )
    if not inputs.replay:
        raise ConfigError(
            "there are no rows of the base's own tasks",
            where="train.retention",
            fix="name these tasks under evaluate.retention, or take a retention method that reads none",
        )
    tasks = {}
    for name, data in inputs.replay.items():
        check_kind(config.method, data.artifact.kind, f"replay {name}")
        tasks[name] = read_split(data, "train")
        if not tasks[name]:
            raise DataError("there is no training row to replay", where=f"replay {name}", fix="give it more rows")
    return tasks


def _replay(
    config: TrainConfig, share: float, tasks: dict[str, list[Example]], own: int, renderer: _Renderer
) -> dict[str, list[Row]]:
    drawn = draw_replay(tasks, own, share, config.seed)
    found, wanted = sum(len(rows) for rows in drawn.values()), replay_count(own, share)
    if found < wanted:
        renderer.context.warn(
            f"the replayed tasks have {found} rows of the {wanted} that a share of {share:g} asks for"
        )
    return {name: renderer.render(rows, f"replay {name}").rows if rows else [] for name, rows in drawn.items()}


def _base_rows(config: TrainConfig, tasks: dict[str, list[Example]], renderer: _Renderer) -> list[Row]:
    drawn = draw_rows(tasks, rows_read(config.retention), config.seed) if tasks else {}
    rows = [row for name, some in drawn.items() if some for row in renderer.render(some, f"the base's {name}").rows]
    random.Random(config.seed).shuffle(rows)  # noqa: S311  no secret
    return rows


def _validation(config: TrainConfig, inputs: TrainInputs, renderer: _Renderer) -> list[Row]:
    examples = read_split(inputs.data, "validation")
    if examples:
        return renderer.render(examples, "validation").rows
    if config.early_stopping_patience is not None or config.eval_steps is not None:
        raise ConfigError(
            "there are no validation rows to evaluate on",
            where="train.early_stopping_patience" if config.early_stopping_patience else "train.eval_steps",
            fix="set data.split.validation above 0, or remove the key",
        )
    if any(isinstance(method, Interpolation) and method.alpha is None for method in config.retention):
        raise ConfigError(
            "the alpha of interpolation is chosen on validation rows, and there are none",
            where="train.retention",
            fix="set data.split.validation above 0, or give alpha",
        )
    return []
