"""Direct preference optimization (Rafailov et al. 2023, arXiv:2305.18290) by TRL, with its family of losses."""

from __future__ import annotations

from typing import Any

import torch
from datasets import Dataset
from trl import DPOConfig, DPOTrainer

from pipeline.backends.training.adapters import adapter_config
from pipeline.backends.training.arguments import common_arguments, on_one_gpu
from pipeline.backends.training.base_model import prepare_model
from pipeline.backends.training.distributed_arguments import check_strategy, settle_arguments
from pipeline.backends.training.distributed_trainer import trainer_class
from pipeline.backends.training.guarded import GuardedTrainer
from pipeline.backends.training.job import TrainJob
from pipeline.backends.training.pairs import paired
from pipeline.backends.training.reference import precompute_reference, reference_model
from pipeline.backends.training.settings import AttemptSettings

_REFERENCE = ("ref_chosen_logps", "ref_rejected_logps")


class GuardedDPOTrainer(GuardedTrainer, DPOTrainer):
    """DPO over rows with ``prompt_ids``, ``chosen_ids`` and ``rejected_ids``."""

    def _prepare_dataset(self, dataset: Dataset, *_: Any) -> Dataset:
        """Return the rows as they are: hone has rendered them."""
        return dataset

    def batch_weight(self, inputs: dict[str, torch.Tensor]) -> int:
        """Return the number of pairs: each is two sequences of the batch."""
        return int(inputs["input_ids"].shape[0]) // 2


def build(job: TrainJob, settings: AttemptSettings) -> GuardedTrainer:
    """Return a fresh DPO trainer.

    The reference is the base: the model with its adapter disabled, or a copy where training changes the base.
    """
    config, options = job.config, job.config.dpo
    arguments = DPOConfig(
        **common_arguments(job, settings),
        max_length=None,
        beta=options.beta,
        loss_type=list(options.loss_type),
        loss_weights=None if options.loss_weights is None else list(options.loss_weights),
        label_smoothing=options.label_smoothing,
        ld_alpha=options.ld_alpha,
        f_divergence_type=options.f_divergence_type,
        f_alpha_divergence_coef=options.f_alpha_divergence_coef,
        discopop_tau=options.discopop_tau,
        use_weighting=options.use_weighting,
    )
    on_one_gpu(arguments, job.context)
    settle_arguments(arguments, job)
    model = prepare_model(config, job.tokenizer, job.longest)
    trainer: GuardedTrainer = trainer_class(GuardedDPOTrainer, job)(
        model=model,
        ref_model=reference_model(job, model),
        args=arguments,
        train_dataset=paired(job.train),
        eval_dataset=paired(job.validation) if job.validation else None,
        processing_class=job.tokenizer,
        peft_config=adapter_config(config, model),
    )
    if options.precompute_ref_log_probs:
        precompute_reference(trainer, job, _REFERENCE)
    check_strategy(trainer, job)
    return trainer
