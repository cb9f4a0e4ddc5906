"""REINFORCE leave-one-out (Ahmadian et al. 2024, arXiv:2402.14740) by TRL."""

from __future__ import annotations

from typing import Any

import torch
from trl import RLOOConfig, RLOOTrainer

from pipeline.backends.training.groups import build_groups, group_arguments
from pipeline.backends.training.guarded import GuardedTrainer
from pipeline.backends.training.job import TrainJob
from pipeline.backends.training.reward_guards import KL
from pipeline.backends.training.rewarded import RewardedByTrl
from pipeline.backends.training.settings import AttemptSettings


class GuardedRLOOTrainer(RewardedByTrl, RLOOTrainer):
    """RLOO over rows with ``prompt`` and ``place``."""

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        rollouts: dict[str, torch.Tensor] = super()._generate_and_score_completions(inputs)
        if self.beta:
            self.journal.add_figures({KL: self._metrics["train"]["kl"][-1]})
        return rollouts


def build(job: TrainJob, settings: AttemptSettings) -> GuardedTrainer:
    """Return a fresh RLOO trainer."""
    options = job.config.rloo
    arguments = RLOOConfig(
        **group_arguments(job, settings, options),
        normalize_advantages=options.normalize_advantages,
        reward_clip_range=options.reward_clip_range,
    )
    return build_groups(job, GuardedRLOOTrainer, arguments, options)
