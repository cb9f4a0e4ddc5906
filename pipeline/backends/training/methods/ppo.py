"""Proximal policy optimization (Schulman et al. 2017, arXiv:1707.06347), held to the base as Ziegler et al. 2019 do."""

from __future__ import annotations

from typing import Any

from peft import get_peft_model
from transformers import TrainingArguments
from trl.trainer.utils import disable_dropout_in_model

from pipeline.backends.training.adapters import adapter_config
from pipeline.backends.training.arguments import common_arguments, on_one_gpu
from pipeline.backends.training.base_model import prepare_model
from pipeline.backends.training.guarded import GuardedTrainer
from pipeline.backends.training.job import TrainJob
from pipeline.backends.training.ppo.policy import add_value_head
from pipeline.backends.training.ppo.trainer import PpoTrainer
from pipeline.backends.training.reference import reference_model
from pipeline.backends.training.rewarded import asked, stop_ids
from pipeline.backends.training.settings import AttemptSettings
from pipeline.core.seeding import seed_everything
from schemas.lora import changes_base


def build(job: TrainJob, settings: AttemptSettings) -> GuardedTrainer:
    """Return a fresh PPO trainer.

    The reference is the base: the model with its adapter disabled, or a copy where training changes the base.
    """
    config = job.config
    arguments = TrainingArguments(**common_arguments(job, settings), remove_unused_columns=False)
    on_one_gpu(arguments, job.context)
    model = prepare_model(config, job.tokenizer, job.longest)
    stop_ids(model, job)
    reference = reference_model(job, model) if config.ppo.held_to_base else None
    seed_everything(config.seed)  # before an adapter draws its first weights
    adapter = adapter_config(config, model)
    if adapter is not None:
        model = get_peft_model(model, adapter)
        if config.gradient_checkpointing:
            model.enable_input_require_grads()
    add_value_head(model)
    for one in (model, reference):
        if one is not None:
            disable_dropout_in_model(one)
    trainer = PpoTrainer(
        model=model,
        args=arguments,
        data_collator=_as_they_are,
        train_dataset=asked(job.train),
        eval_dataset=asked(job.validation, first=len(job.train)) if job.validation else None,
    )
    trainer.prepare(job)
    trainer.adapter_is_the_change = config.adapter != "full" and not changes_base(config.lora)
    if reference is not None:
        trainer.reference = trainer.accelerator.prepare_model(reference, evaluation_mode=True)
    return trainer


def _as_they_are(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return rows
