"""The reference model of a preference method, and its answers in advance."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pipeline.backends.training.base_model import prepare_model
from schemas.lora import changes_base

if TYPE_CHECKING:
    from datasets import Dataset

    from pipeline.backends.training.job import TrainJob


def reference_model(job: TrainJob, model: Any) -> Any:
    """Return a frozen copy of the base, or None where it is the model with its adapter disabled.

    What DeepSpeed has taken apart while it was loaded cannot be copied, and is loaded once more.
    """
    config = job.config
    if config.adapter != "full" and not changes_base(config.lora):
        return None
    apart = job.ranks is not None and job.shared is not None and job.shared.strategy == "zero3"
    copied = prepare_model(config, job.tokenizer, job.longest) if apart else copy.deepcopy(model)
    return copied.requires_grad_(requires_grad=False)


def precompute_reference(trainer: Any, job: TrainJob, columns: Sequence[str]) -> None:
    """Ask the reference once about every row, keep its answers beside the rows, and let a copied reference go.

    Args:
        trainer: one of TRL's with ``compute_ref_log_probs``, before its first step.
        job: the training; its context shows progress.
        columns: what `compute_ref_log_probs` returns, in the names under which TRL reads it beside a row.
    """
    trainer.train_dataset = _with_reference(trainer, job, trainer.train_dataset, "training rows", columns)
    if trainer.eval_dataset is not None:
        trainer.eval_dataset = _with_reference(trainer, job, trainer.eval_dataset, "validation rows", columns)
    trainer.precompute_ref_logps = True
    trainer.ref_model = None


def _with_reference(trainer: Any, job: TrainJob, rows: Dataset, what: str, columns: Sequence[str]) -> Dataset:
    size = trainer.args.per_device_eval_batch_size
    found: dict[str, list[float]] = {name: [] for name in columns}
    with job.context.progress(f"asking the reference about {what}", len(rows)) as advance:
        for first in range(0, len(rows), size):
            batch = [rows[place] for place in range(first, min(first + size, len(rows)))]
            inputs = trainer._prepare_inputs(trainer.data_collator(batch))  # noqa: SLF001  has no public name
            answers = trainer.compute_ref_log_probs(trainer.ref_model or trainer.model, inputs)
            for name, values in zip(columns, answers, strict=True):
                found[name].extend(values.tolist())
            advance(len(batch))
    for name, values in found.items():
        rows = rows.add_column(name, values)
    return rows
