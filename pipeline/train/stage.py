"""The train stage: from rows and a base to a model."""

from __future__ import annotations

import json
from collections.abc import Iterable

from pipeline.core.context import CallContext
from pipeline.core.examples import write_examples
from pipeline.core.workspace import Workspace, hash_file
from pipeline.train import backends
from pipeline.train.backends import Reward, TrainJob, TrainOutcome
from pipeline.train.distributed import shared_by
from pipeline.train.methods import check_kind
from pipeline.train.rewards import load_rewards
from pipeline.train.rows import TrainingRows, prepare_rows, read_split
from pipeline.train.teaching import teach
from pipeline.train.tokenizer import choose_tokenizer
from schemas.distillation import TaughtReport
from schemas.methods import METHODS
from schemas.train import TrainArtifact, TrainConfig, TrainInputs


def run(config: TrainConfig, inputs: TrainInputs, context: CallContext, workspace: Workspace) -> TrainArtifact:
    """Train one model with one seed; goes on from the last whole checkpoint of a killed attempt.

    Raises:
        ConfigError, DataError, RenderError, ModelError: the config, rows and base do not fit each other; the message
            names the key or rows.
        DivergenceError, OutOfMemory: training failed in spite of its recoveries.
        BudgetError, Cancelled: it must stop; a checkpoint was written.
    """
    kind = inputs.data.artifact.kind
    check_kind(config.method, kind, "data")
    shared = shared_by(config, context.processes)
    own = read_split(inputs.data, "train")
    tokenizer = choose_tokenizer(config, own, kind)
    taught = None
    if config.method == "seq_kd":
        own, taught = teach(config, own, inputs.data.artifact.labels, workspace.scratch, context)
        write_examples(workspace.file("taught.jsonl"), own)
    if config.lora is not None and config.lora.lora_dropout and not METHODS[config.method].dropout:
        context.warn(f"{config.method} trains without dropout, so that answers differ by training alone")
    rows = prepare_rows(config, inputs, own, tokenizer, context)
    job = TrainJob(
        config=config,
        train=rows.train,
        validation=rows.validation,
        base_rows=rows.base,
        tokenizer=tokenizer,
        scratch=workspace.scratch,
        output=workspace.file("model"),
        context=context,
        rewards=_rewards(config, inputs, rows, context),
        processes=context.processes,
        shared=shared,
    )
    outcome = backends.train(config.method, job)
    write_log(workspace, outcome.log)
    return _artifact(config, rows, outcome, hash_file(job.output / "tokenizer.json"), taught)


def write_log(workspace: Workspace, log: Iterable[dict[str, float | int]]) -> None:
    """Write ``log.jsonl``: one object per logged step or evaluation."""
    lines = "".join(json.dumps(entry) + "\n" for entry in log)
    workspace.file("log.jsonl").write_text(lines, encoding="utf-8")


def _rewards(config: TrainConfig, inputs: TrainInputs, rows: TrainingRows, context: CallContext) -> tuple[Reward, ...]:
    if not METHODS[config.method].rewarded:
        return ()
    return load_rewards(config, inputs.data.artifact.labels, (*rows.train, *rows.validation), context)


def _artifact(
    config: TrainConfig, rows: TrainingRows, outcome: TrainOutcome, tokenizer_digest: str, taught: TaughtReport | None
) -> TrainArtifact:
    return TrainArtifact(
        kind="full" if config.adapter == "full" or METHODS[config.method].scores else "adapter",
        base=config.base,
        method=config.method,
        seed=config.seed,
        parameters=outcome.parameters,
        trainable_parameters=outcome.trainable_parameters,
        steps=outcome.steps,
        epochs=outcome.epochs,
        rendered=rows.report,
        replay_rows=rows.replayed,
        penalty=outcome.penalty,
        interpolation=outcome.interpolation,
        train_loss=outcome.train_loss,
        eval_loss=outcome.eval_loss,
        best_step=outcome.best_step,
        stopped_early=outcome.stopped_early,
        micro_batch=outcome.micro_batch,
        accumulation=outcome.accumulation,
        dtype=outcome.dtype,
        processes=outcome.processes,
        strategy=outcome.strategy,
        recoveries=outcome.recoveries,
        rewards=outcome.rewards,
        teacher=config.teacher,
        taught=taught,
        template_digest=rows.report.template_digest,
        tokenizer_digest=tokenizer_digest,
    )
