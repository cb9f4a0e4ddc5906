"""Simple preference optimization (Meng et al. 2024, arXiv:2405.14734): mean log-probabilities and a margin."""

from __future__ import annotations

import torch
from torch.nn.functional import logsigmoid

from pipeline.backends.training.guarded import GuardedTrainer
from pipeline.backends.training.job import TrainJob
from pipeline.backends.training.pairs import Sides, build_pairs
from pipeline.backends.training.settings import AttemptSettings
from schemas.preference import SimpoOptions


def build(job: TrainJob, settings: AttemptSettings) -> GuardedTrainer:
    """Return a fresh SimPO trainer."""
    options = job.config.simpo
    return build_pairs(job, settings, lambda sides: simpo_loss(sides, options))


def simpo_loss(sides: Sides, options: SimpoOptions) -> torch.Tensor:
    """Return -log sigmoid(beta (mean log p(chosen) - mean log p(rejected)) - gamma) of each pair (section 2.3).

    ``cpo_alpha`` adds the mean negative log-likelihood of the chosen answer, as CPO has it.
    """
    margin = options.beta * (sides.chosen_mean - sides.rejected_mean) - options.simpo_gamma
    return -logsigmoid(margin) - options.cpo_alpha * sides.chosen_mean
