"""SFT and DPO by TRL: its losses, over rows that hone has rendered and the shared parts of every training."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from datasets import Dataset
from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer
from trl.data_utils import pack_dataset

from pipeline.backends.training.adapters import adapter_config
from pipeline.backends.training.arguments import common_arguments, on_one_gpu
from pipeline.backends.training.base_model import prepare_model
from pipeline.backends.training.distributed_arguments import check_strategy, settle_arguments
from pipeline.backends.training.distributed_trainer import trainer_class
from pipeline.backends.training.guarded import GuardedTrainer
from pipeline.backends.training.job import Row, TrainerBuilder, TrainJob, TrainOutcome, as_inputs
from pipeline.backends.training.loop import run_training
from pipeline.backends.training.plain_lora import changes_base
from pipeline.backends.training.scoring import trained_positions_only
from pipeline.backends.training.settings import AttemptSettings
from pipeline.render import RenderedPair
from schemas.train import TrainMethod


class GuardedSFTTrainer(GuardedTrainer, SFTTrainer):
    """SFT over rows with ``input_ids`` and ``labels``."""

    def batch_weight(self, inputs: dict[str, torch.Tensor]) -> int:
        """Return the number of trained tokens: a row's first token is never predicted."""
        return int((inputs["labels"][:, 1:] != -100).sum())


class GuardedDPOTrainer(GuardedTrainer, DPOTrainer):
    """DPO over rows with ``prompt_ids``, ``chosen_ids`` and ``rejected_ids``."""

    def _prepare_dataset(self, dataset: Dataset, *_: Any) -> Dataset:
        """Return the rows as they are: hone has rendered them."""
        return dataset

    def batch_weight(self, inputs: dict[str, torch.Tensor]) -> int:
        """Return the number of pairs: each is two sequences of the batch."""
        return int(inputs["input_ids"].shape[0]) // 2


def train_sft(job: TrainJob) -> TrainOutcome:
    """Supervised fine-tuning: mean negative log-likelihood of the trained tokens."""
    with trained_positions_only():
        return run_training(job, build_sft)


def train_dpo(job: TrainJob) -> TrainOutcome:
    """Direct preference optimization (Rafailov et al. 2023); the reference is the base itself."""
    lora = job.config.lora
    if lora is not None and lora.lora_dropout:
        job.context.warn("DPO trains without dropout, so that policy and reference differ by training alone")
    with trained_positions_only():
        return run_training(job, build_dpo)


def build_sft(job: TrainJob, settings: AttemptSettings) -> GuardedTrainer:
    """Return a fresh SFT trainer."""
    config = job.config
    arguments = SFTConfig(
        **common_arguments(job, settings),
        max_length=config.max_length if config.packing else None,
        packing=config.packing,
        eval_packing=False,
        dataset_kwargs={"skip_prepare_dataset": True},
    )
    on_one_gpu(arguments, job.context)
    settle_arguments(arguments, job)
    train = _labelled(job.train)
    if config.packing:
        train = pack_dataset(train, config.max_length, "bfd")
    model = prepare_model(config, job.tokenizer, job.longest)
    trainer: GuardedTrainer = trainer_class(GuardedSFTTrainer, job)(
        model=model,
        args=arguments,
        train_dataset=train,
        eval_dataset=_labelled(job.validation) if job.validation else None,
        processing_class=job.tokenizer,
        peft_config=adapter_config(config, model),
    )
    check_strategy(trainer, job)
    return trainer


def build_dpo(job: TrainJob, settings: AttemptSettings) -> GuardedTrainer:
    """Return a fresh DPO trainer.

    The reference is the base: the model with its adapter disabled, or a copy where training changes the base.
    """
    config = job.config
    arguments = DPOConfig(
        **common_arguments(job, settings),
        max_length=None,
        beta=config.dpo.beta,
        loss_type=list(config.dpo.loss_type),
        label_smoothing=config.dpo.label_smoothing,
    )
    on_one_gpu(arguments, job.context)
    settle_arguments(arguments, job)
    model = prepare_model(config, job.tokenizer, job.longest)
    trainer: GuardedTrainer = trainer_class(GuardedDPOTrainer, job)(
        model=model,
        ref_model=_reference(job, model),
        args=arguments,
        train_dataset=_paired(job.train),
        eval_dataset=_paired(job.validation) if job.validation else None,
        processing_class=job.tokenizer,
        peft_config=adapter_config(config, model),
    )
    check_strategy(trainer, job)
    return trainer


def _reference(job: TrainJob, model: Any) -> Any:
    """Return a frozen copy of the base, or None where it is the model with its adapter disabled.

    What DeepSpeed has taken apart while it was loaded cannot be copied, and is loaded once more.
    """
    config = job.config
    if config.lora is not None and not changes_base(config.lora):
        return None
    apart = job.ranks is not None and job.shared is not None and job.shared.strategy == "zero3"
    copied = prepare_model(config, job.tokenizer, job.longest) if apart else copy.deepcopy(model)
    return copied.requires_grad_(requires_grad=False)


BUILDERS: dict[TrainMethod, TrainerBuilder] = {"sft": build_sft, "dpo": build_dpo}
"""What makes the trainer of each method."""


def _labelled(rows: Sequence[Row]) -> Dataset:
    return Dataset.from_list(as_inputs(rows))


def _paired(rows: Sequence[Row]) -> Dataset:
    pairs = [row for row in rows if isinstance(row, RenderedPair)]
    return Dataset.from_dict(
        {
            "prompt_ids": [pair.prompt_ids for pair in pairs],
            "chosen_ids": [pair.chosen_ids for pair in pairs],
            "rejected_ids": [pair.rejected_ids for pair in pairs],
        }
    )
