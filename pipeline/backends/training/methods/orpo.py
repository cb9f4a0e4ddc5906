"""Odds ratio preference optimization (Hong et al. 2024, arXiv:2403.07691): likelihood and preference in one loss."""

from __future__ import annotations

import torch
from torch.nn.functional import logsigmoid

from pipeline.backends.training.guarded import GuardedTrainer
from pipeline.backends.training.job import TrainJob
from pipeline.backends.training.pairs import Sides, build_pairs
from pipeline.backends.training.settings import AttemptSettings
from schemas.preference import OrpoOptions


def build(job: TrainJob, settings: AttemptSettings) -> GuardedTrainer:
    """Return a fresh ORPO trainer."""
    options = job.config.orpo
    return build_pairs(job, settings, lambda sides: orpo_loss(sides, options))


def orpo_loss(sides: Sides, options: OrpoOptions) -> torch.Tensor:
    """Return L_SFT + beta L_OR of each pair (section 4.2).

    With p the geometric mean of an answer's token probabilities, odds(y) = p / (1 - p), and
    L_OR = -log sigmoid(log odds(chosen) - log odds(rejected)). L_SFT is the mean over the chosen answer's tokens;
    TRL's takes the prompt's tokens in as well.
    """
    chosen, rejected = sides.chosen_mean.float(), sides.rejected_mean.float()
    odds = (chosen - _log_one_minus_exp(chosen)) - (rejected - _log_one_minus_exp(rejected))
    return -chosen - options.beta * logsigmoid(odds)


def _log_one_minus_exp(values: torch.Tensor) -> torch.Tensor:
    """Return log(1 - exp(x)) for x < 0 (Maechler 2012, equation 7); at 0, where it has no value, that of nearly 0."""
    below = values.clamp(max=-torch.finfo(values.dtype).eps)
    near = below > -0.6931471805599453
    small = torch.log(-torch.expm1(torch.where(near, below, -1.0)))
    return torch.where(near, small, torch.log1p(-torch.exp(torch.where(near, -1.0, below))))
