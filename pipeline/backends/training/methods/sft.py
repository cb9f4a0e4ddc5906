"""Supervised fine-tuning by TRL: mean negative log-likelihood of the trained tokens."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from datasets import Dataset
from trl import SFTConfig, SFTTrainer
from trl.data_utils import pack_dataset

from pipeline.backends.training.adapters import adapter_config
from pipeline.backends.training.arguments import common_arguments, on_one_gpu
from pipeline.backends.training.base_model import prepare_model
from pipeline.backends.training.distributed_arguments import check_strategy, settle_arguments
from pipeline.backends.training.distributed_trainer import trainer_class
from pipeline.backends.training.guarded import GuardedTrainer
from pipeline.backends.training.job import Row, TrainJob, as_inputs
from pipeline.backends.training.settings import AttemptSettings


class GuardedSFTTrainer(GuardedTrainer, SFTTrainer):
    """SFT over rows with ``input_ids`` and ``labels``."""

    def batch_weight(self, inputs: dict[str, torch.Tensor]) -> int:
        """Return the number of trained tokens: a row's first token is never predicted."""
        return int((inputs["labels"][:, 1:] != -100).sum())


def build(job: TrainJob, settings: AttemptSettings) -> GuardedTrainer:
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


def _labelled(rows: Sequence[Row]) -> Dataset:
    return Dataset.from_list(as_inputs(rows))
