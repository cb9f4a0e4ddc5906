"""Kahneman-Tversky optimization (Ethayarajh et al. 2024, arXiv:2402.01306) by TRL: good and bad answers, no pairs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from datasets import Dataset
from trl import KTOConfig, KTOTrainer
from trl.trainer.kto_trainer import DataCollatorForUnpairedPreference

from pipeline.backends.training.adapters import adapter_config
from pipeline.backends.training.arguments import common_arguments, on_one_gpu
from pipeline.backends.training.base_model import prepare_model
from pipeline.backends.training.distributed_arguments import check_strategy, settle_arguments
from pipeline.backends.training.guarded import GuardedTrainer
from pipeline.backends.training.job import Row, TrainJob
from pipeline.backends.training.reference import precompute_reference, reference_model
from pipeline.backends.training.settings import AttemptSettings
from pipeline.core.errors import OutOfMemory
from pipeline.render import RenderedPair, RenderedVerdict

_SHUFFLED = "random"


class OtherAnswers(DataCollatorForUnpairedPreference):
    """Gives each question the answer of the row before it in the batch too, from which KTO estimates its zero point.

    TRL pairs rows once, in their stored order, and takes them in that order in every epoch; paired in the batch, they
    can be shuffled.
    """

    def torch_call(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        """Return the batch as tensors, with each row's other answer."""
        answers = [example["completion_ids"] for example in examples]
        others = [*answers[-1:], *answers[:-1]]
        told = [{**row, "KL_completion_ids": other} for row, other in zip(examples, others, strict=True)]
        batch: dict[str, Any] = super().torch_call(told)
        return batch


class GuardedKTOTrainer(GuardedTrainer, KTOTrainer):
    """KTO over rows with ``prompt_ids``, ``completion_ids`` and ``label``."""

    def _prepare_dataset(self, dataset: Dataset, *_: Any) -> Dataset:
        """Return the rows as they are: hone has rendered them."""
        return dataset

    def batch_weight(self, inputs: dict[str, torch.Tensor]) -> int:
        """Return the number of answers."""
        return int(inputs["label"].shape[0])


def build(job: TrainJob, settings: AttemptSettings) -> GuardedTrainer:
    """Return a fresh KTO trainer.

    Raises:
        OutOfMemory: two answers at a time do not fit.
    """
    config, options = job.config, job.config.kto
    estimates = options.loss_type == "kto"
    if estimates and settings.micro_batch < 2:
        raise OutOfMemory(
            "two answers at a time do not fit into memory, and KTO compares an answer with those beside it",
            where="train.per_device_train_batch_size",
            fix="set train.gradient_checkpointing, a smaller train.max_length, or kto.loss_type: apo_zero_unpaired",
        )
    arguments = KTOConfig(
        **common_arguments(job, settings),
        max_length=None,
        beta=options.beta,
        loss_type=options.loss_type,
        desirable_weight=options.desirable_weight,
        undesirable_weight=options.undesirable_weight,
        train_sampling_strategy="sequential",  # what TRL's own pairing needs
    )
    on_one_gpu(arguments, job.context)
    settle_arguments(arguments, job)
    model = prepare_model(config, job.tokenizer, job.longest)
    collator = OtherAnswers if estimates else DataCollatorForUnpairedPreference
    trainer = GuardedKTOTrainer(
        model=model,
        ref_model=reference_model(job, model),
        args=arguments,
        data_collator=collator(pad_token_id=job.tokenizer.pad_token_id),
        train_dataset=_answers(job.train),
        eval_dataset=_answers(job.validation) if job.validation else None,
        processing_class=job.tokenizer,
        peft_config=adapter_config(config, model),
    )
    trainer.args.train_sampling_strategy = _SHUFFLED
    if options.precompute_ref_log_probs:
        precompute_reference(trainer, job, ("ref_logps",))
    check_strategy(trainer, job)
    return trainer


def _answers(rows: Sequence[Row]) -> Dataset:
    return Dataset.from_list([answer for row in rows for answer in _sides(row)])


def _sides(row: Row) -> Iterator[dict[str, Any]]:
    """Yield the answers of a row, each with its verdict."""
    if isinstance(row, RenderedPair):
        for side, good in ((row.chosen_ids, True), (row.rejected_ids, False)):
            yield {"prompt_ids": row.prompt_ids, "completion_ids": side, "label": good}
    elif isinstance(row, RenderedVerdict):
        yield {"prompt_ids": row.prompt_ids, "completion_ids": row.answer_ids, "label": row.desirable}
