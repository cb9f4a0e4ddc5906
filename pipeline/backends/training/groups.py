"""What the trainers of GRPO and RLOO are made of: several answers to each prompt, compared with each other."""

from __future__ import annotations

from typing import Any

from trl.trainer.utils import add_fused_lm_head

from pipeline.backends.training.adapters import adapter_config
from pipeline.backends.training.arguments import common_arguments, on_one_gpu
from pipeline.backends.training.base_model import prepare_model
from pipeline.backends.training.job import TrainJob
from pipeline.backends.training.reference import reference_model
from pipeline.backends.training.rewarded import RewardedByTrl, asked, named_for_trl, stop_ids
from pipeline.backends.training.settings import AttemptSettings
from schemas.lora import changes_base
from schemas.rl import GroupOptions


def group_arguments(job: TrainJob, settings: AttemptSettings, options: GroupOptions) -> dict[str, Any]:
    """Return the keyword arguments that GRPOConfig and RLOOConfig share.

    TRL is told that nothing holds the model to the base: it would load the base once more, from where it believes it
    to be. `build_groups` gives it the reference.
    """
    return {
        **common_arguments(job, settings),
        "disable_dropout": True,
        "num_generations": options.num_generations,
        "num_iterations": options.num_iterations,
        "max_completion_length": options.max_completion_length,
        "temperature": options.temperature,
        "top_p": options.top_p,
        "beta": 0.0,
        "epsilon": options.epsilon,
        "epsilon_high": options.epsilon_high,
        "mask_truncated_completions": options.mask_truncated_completions,
        "reward_weights": [reward.weight for reward in job.rewards],
    }


def build_groups(job: TrainJob, kind: type[RewardedByTrl], arguments: Any, options: GroupOptions) -> RewardedByTrl:
    """Return a fresh trainer.

    The reference is the base: the model with its adapter disabled, or a copy where training changes the base.
    """
    config = job.config
    on_one_gpu(arguments, job.context)
    model = prepare_model(config, job.tokenizer, job.longest)
    stop_ids(model, job)
    reference = reference_model(job, model) if options.held_to_base else None
    trainer: Any = kind(
        model=model,
        reward_funcs=named_for_trl(job.rewards),
        args=arguments,
        train_dataset=asked(job.train),
        eval_dataset=asked(job.validation, first=len(job.train)) if job.validation else None,
        processing_class=job.tokenizer,
        peft_config=adapter_config(config, model),
    )
    trainer.prepare(job)
    trainer.beta = options.beta
    trainer.adapter_can_be_left_out = config.adapter != "full" and not changes_base(config.lora)
    if reference is not None:
        add_fused_lm_head(reference, temperature=options.temperature)
        trainer.ref_model = trainer.accelerator.prepare_model(reference, evaluation_mode=True)
    return trainer
