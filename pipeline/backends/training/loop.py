"""The loop around a trainer: resume, recover from divergence and lack of memory, stop with a checkpoint, export."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

from pipeline.backends.remarks_peft import without_known_remarks
from pipeline.backends.training.adapters import train_in_float32
from pipeline.backends.training.afterwards import interpolate, merge
from pipeline.backends.training.base_model import count_parameters
from pipeline.backends.training.checkpoints import Checkpoint, CheckpointStore
from pipeline.backends.training.export import export_model, keep_initial_adapter
from pipeline.backends.training.guarded import GuardedTrainer, NotFinite
from pipeline.backends.training.job import Precision, TrainerBuilder, TrainJob, TrainOutcome
from pipeline.backends.training.journal import Journal
from pipeline.backends.training.penalties import build_penalty
from pipeline.backends.training.settings import AttemptSettings
from pipeline.backends.training.watch import Watch, first_interrupt_waits
from pipeline.core.errors import IntegrityError
from schemas.train import TrainConfig

_NO_MEMORY = ("can't allocate memory", "cannot allocate memory", "not enough memory", "out of memory")


class NoMemory(Exception):
    """An attempt ran out of memory after ``step`` steps."""

    def __init__(self, step: int) -> None:
        super().__init__(step)
        self.step = step


def run_training(job: TrainJob, build: TrainerBuilder) -> TrainOutcome:
    """Train to the end, from the last whole checkpoint if there is one, and write the model to ``job.output``.

    Raises:
        DivergenceError: the loss or gradient became NaN or infinite, again after one rollback.
        OutOfMemory: one row at a time does not fit.
        BudgetError, Cancelled, KeyboardInterrupt: the run must stop; a checkpoint was written first.
    """
    store = CheckpointStore(job.scratch / "checkpoints", job.context)
    settings = AttemptSettings.load(job.config, job.scratch)
    if job.shared is not None:
        settings = settings.shared(job.processes.count)
    while True:
        try:
            return _attempt(job, build, store, settings)
        except NotFinite as error:
            checkpoint = store.newest_whole()
            settings = settings.after_divergence(error.step, checkpoint.step if checkpoint else 0, error.what)
        except NoMemory as error:
            settings = settings.after_out_of_memory(error.step)
        settings.save(job.scratch)
        latest = settings.recoveries[-1]
        job.context.emit("recovery", latest.action, step=latest.step, recovery=latest.kind)
        _free_memory()


def _attempt(job: TrainJob, build: TrainerBuilder, store: CheckpointStore, settings: AttemptSettings) -> TrainOutcome:
    checkpoint = store.newest_whole()
    if job.starts_others:
        from pipeline.backends.training.distributed_launch import train_in_processes

        checkpoint = train_in_processes(job, settings, store, checkpoint)
        return _finish(job, build, _built(job, build, settings), store, settings, checkpoint)
    with memory_errors(checkpoint.step if checkpoint else 0) as progress:
        trainer = _built(job, build, settings)
        progress.append(trainer)
        return _finish(job, build, trainer, store, settings, checkpoint)


def _built(job: TrainJob, build: TrainerBuilder, settings: AttemptSettings) -> GuardedTrainer:
    with without_known_remarks():
        return build(job, settings)


def _finish(
    job: TrainJob,
    build: TrainerBuilder,
    trainer: GuardedTrainer,
    store: CheckpointStore,
    settings: AttemptSettings,
    checkpoint: Checkpoint | None,
) -> TrainOutcome:
    """Train what is left, and write the model."""
    train_in_float32(trainer.model)
    keep_initial_adapter(trainer.model, job)
    if checkpoint is not None and Journal.load(checkpoint.path).finished:
        if not job.starts_others:
            job.context.emit("log", f"going on from step {checkpoint.step}", step=checkpoint.step)
        trainer.attach(store, Journal.load(checkpoint.path), settings.learning_rate)
        trainer.load_weights(checkpoint)
        trainer.state.global_step, trainer.state.epoch = checkpoint.step, _epoch_of(checkpoint)
    else:
        train_steps(job, trainer, store, settings, checkpoint)
    best = _restore_best(job.config, trainer, store)
    trainer.finish()
    outcome = _outcome(job, trainer, settings, best)
    alpha = interpolate(job, trainer)
    if merge(job, trainer, build) or alpha is not None:
        loss = trainer.mean_loss([dict(row) for row in trainer.eval_dataset]) if job.validation else None
        outcome = replace(outcome, interpolation=alpha, eval_loss=loss)
    export_model(trainer.model, job)
    return outcome


def train_steps(
    job: TrainJob,
    trainer: GuardedTrainer,
    store: CheckpointStore,
    settings: AttemptSettings,
    checkpoint: Checkpoint | None,
) -> None:
    """Train from ``checkpoint`` to the end.

    Raises:
        BudgetError, Cancelled, KeyboardInterrupt: the run must stop; a checkpoint was written first.
    """
    from transformers import PrinterCallback

    if checkpoint is not None:
        job.context.emit("log", f"going on from step {checkpoint.step}", step=checkpoint.step)
    journal = Journal.load(checkpoint.path) if checkpoint else Journal()
    trainer.attach(store, journal, settings.learning_rate)
    trainer.penalty = build_penalty(job, trainer)
    evaluates = bool(job.validation)
    with ExitStack() as bars:
        watch = Watch(job.config, job.context, trainer, bars, evaluates=evaluates)
        trainer.remove_callback(PrinterCallback)
        trainer.add_callback(watch)
        with first_interrupt_waits(watch.interrupt):
            trainer.train(resume_from_checkpoint=str(checkpoint.path) if checkpoint else None)
    if watch.stop is not None:
        raise watch.stop
    if watch.interrupt.is_set():  # in the last step: what is trained is saved, and is exported by the next attempt
        raise KeyboardInterrupt


def _restore_best(config: TrainConfig, trainer: GuardedTrainer, store: CheckpointStore) -> int | None:
    """Under early stopping put the best weights back and return their step.

    Raises:
        IntegrityError: their checkpoint is damaged.
    """
    best = trainer.journal.best_step
    if config.early_stopping_patience is None or best is None:
        return None
    if best != trainer.state.global_step:
        checkpoint = store.whole(best)
        if checkpoint is None:
            raise IntegrityError(
                f"the checkpoint with the lowest evaluation loss (step {best}) is damaged",
                where="checkpoints",
                fix="run again with --fresh train",
            )
        trainer.load_weights(checkpoint)
    return best


def _outcome(job: TrainJob, trainer: GuardedTrainer, settings: AttemptSettings, best: int | None) -> TrainOutcome:
    journal, model = trainer.journal, trainer.model
    evaluations = journal.evaluations
    shown = best if best is not None else max(evaluations, default=None)
    precision: Precision = "bfloat16" if trainer.args.bf16 else "float32"
    eval_loss = None if shown is None else evaluations[shown]
    return TrainOutcome(
        parameters=count_parameters(model),
        trainable_parameters=count_parameters(model, only_trainable=True),
        steps=trainer.state.global_step,
        epochs=float(trainer.state.epoch),
        train_loss=journal.mean_loss,
        eval_loss=eval_loss,
        best_step=best,
        stopped_early=journal.stopped_early,
        micro_batch=settings.micro_batch,
        accumulation=settings.accumulation,
        dtype=precision,
        processes=job.processes.count if job.shared else 1,
        strategy=job.shared.strategy if job.shared else None,
        recoveries=settings.recoveries,
        penalty=next((line["penalty"] for line in reversed(journal.lines) if "penalty" in line), None),
        rewards=trainer.reward_report(eval_loss),
        log=tuple(journal.lines),
    )


def _epoch_of(checkpoint: Checkpoint) -> float:
    from transformers import TrainerState

    return float(TrainerState.load_from_json(str(checkpoint.path / "trainer_state.json")).epoch)


@contextmanager
def memory_errors(step: int) -> Iterator[list[GuardedTrainer]]:
    """Turn every library's way of saying "out of memory" into one exception; the list tells how far it came."""
    trainers: list[GuardedTrainer] = []
    try:
        yield trainers
    except (MemoryError, RuntimeError, OSError) as error:
        if not (isinstance(error, MemoryError) or any(text in str(error).lower() for text in _NO_MEMORY)):
            raise
        reached = max(step, int(trainers[0].state.global_step)) if trainers else step
    else:
        return
    trainers.clear()
    raise NoMemory(reached)


def _free_memory() -> None:
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
