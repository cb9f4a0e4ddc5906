"""Group relative policy optimization (Shao et al. 2024, arXiv:2402.03300) by TRL, with its variants."""

from __future__ import annotations

from typing import Any

import torch
from trl import GRPOConfig, GRPOTrainer
from trl.models.utils import disable_gradient_checkpointing
from trl.trainer.utils import use_adapter

from pipeline.backends.training.groups import build_groups, group_arguments
from pipeline.backends.training.guarded import GuardedTrainer
from pipeline.backends.training.job import TrainJob
from pipeline.backends.training.reward_guards import KL
from pipeline.backends.training.rewarded import RewardedByTrl
from pipeline.backends.training.settings import AttemptSettings

_LOOKS = 20
"""How often a training that nothing holds to the base looks how far it is from it."""


class GuardedGRPOTrainer(RewardedByTrl, GRPOTrainer):
    """GRPO over rows with ``prompt`` and ``place``."""

    def _generate_single_turn(self, prompt_ids: list[list[int]], *_: Any, **__: Any) -> tuple[list[list[int]], None]:
        return super()._generate_single_turn(prompt_ids), None  # whose log-probabilities are computed by training

    def _compute_loss(self, model: Any, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        loss: torch.Tensor = super()._compute_loss(model, inputs)
        if self.beta:
            self.journal.add_figures({KL: self._metrics["train"]["kl"][-1]})
        return loss

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        rollouts: dict[str, torch.Tensor] = super()._generate_and_score_completions(inputs)
        every = max(1, self.state.max_steps // _LOOKS)
        if self.beta == 0.0 and self.adapter_can_be_left_out and self.state.global_step % every == 0:
            self.journal.add_figures({KL: self._distance(rollouts)})
        return rollouts

    def _distance(self, rollouts: dict[str, torch.Tensor]) -> float:
        """Return the mean over tokens of r - 1 - log r, r = base's probability over the model's (Schulman 2020, k3)."""
        ids = torch.cat([rollouts["prompt_ids"], rollouts["completion_ids"]], dim=1)
        mask = torch.cat([rollouts["prompt_mask"], rollouts["completion_mask"]], dim=1)
        answers = rollouts["completion_mask"]
        asked = (ids, mask, answers.shape[1], self.args.per_device_train_batch_size)
        with torch.no_grad(), disable_gradient_checkpointing(self.model, self.args.gradient_checkpointing_kwargs):
            own, _, _ = self._get_per_token_logps_and_entropies(self.model, *asked)
            with use_adapter(self.model, adapter_name=None):
                base, _, _ = self._get_per_token_logps_and_entropies(self.model, *asked)
        ratio = base - own
        return float(((ratio.exp() - 1 - ratio) * answers).sum() / answers.sum().clamp(min=1))


def build(job: TrainJob, settings: AttemptSettings) -> GuardedTrainer:
    """Return a fresh GRPO trainer."""
    options = job.config.grpo
    arguments = GRPOConfig(
        **group_arguments(job, settings, options),
        loss_type=options.loss_type,
        scale_rewards=options.scale_rewards,
        importance_sampling_level=options.importance_sampling_level,
        multi_objective_aggregation=options.multi_objective_aggregation,
        delta=options.delta,
        top_entropy_quantile=options.top_entropy_quantile,
        entropy_coef=options.entropy_coef,
        off_policy_mask_threshold=options.off_policy_mask_threshold,
        sapo_temperature_neg=options.sapo_temperature_neg,
        sapo_temperature_pos=options.sapo_temperature_pos,
        vespo_k_pos=options.vespo_k_pos,
        vespo_lambda_pos=options.vespo_lambda_pos,
        vespo_k_neg=options.vespo_k_neg,
        vespo_lambda_neg=options.vespo_lambda_neg,
    )
    return build_groups(job, GuardedGRPOTrainer, arguments, options)
