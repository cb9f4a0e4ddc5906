"""Reward models by TRL: the base with one output, its score of an answer (Ouyang et al. 2022, arXiv:2203.02155)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from datasets import Dataset
from trl import RewardConfig, RewardTrainer

from pipeline.backends.training.adapters import adapter_config
from pipeline.backends.training.arguments import common_arguments, on_one_gpu
from pipeline.backends.training.base_model import prepare_model
from pipeline.backends.training.guarded import GuardedTrainer
from pipeline.backends.training.job import Row, TrainJob
from pipeline.backends.training.settings import AttemptSettings
from pipeline.render import RenderedPair


class GuardedRewardTrainer(GuardedTrainer, RewardTrainer):
    """-log sigmoid(r(chosen) - r(rejected)) over rows with ``chosen_ids`` and ``rejected_ids``, prompts included."""

    def batch_weight(self, inputs: dict[str, torch.Tensor]) -> int:
        """Return the number of pairs: each is two sequences of the batch."""
        return int(inputs["input_ids"].shape[0]) // 2


def build(job: TrainJob, settings: AttemptSettings) -> GuardedTrainer:
    """Return a fresh trainer of a reward model."""
    config = job.config
    arguments = RewardConfig(
        **common_arguments(job, settings),
        max_length=None,
        disable_dropout=True,
        center_rewards_coefficient=config.reward.center_rewards_coefficient,
    )
    on_one_gpu(arguments, job.context)
    model = prepare_model(config, job.tokenizer, job.longest)
    return GuardedRewardTrainer(
        model=model,
        args=arguments,
        train_dataset=_whole(job.train),
        eval_dataset=_whole(job.validation) if job.validation else None,
        processing_class=job.tokenizer,
        peft_config=adapter_config(config, model),
    )


def _whole(rows: Sequence[Row]) -> Dataset:
    """Return each side of a pair with its prompt before it."""
    pairs = [row for row in rows if isinstance(row, RenderedPair)]
    return Dataset.from_dict(
        {
            "chosen_ids": [[*pair.prompt_ids, *pair.chosen_ids] for pair in pairs],
            "rejected_ids": [[*pair.prompt_ids, *pair.rejected_ids] for pair in pairs],
        }
    )
