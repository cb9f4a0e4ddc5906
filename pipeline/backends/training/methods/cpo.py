"""Contrastive preference optimization (Xu et al. 2024, arXiv:2401.08417): DPO's loss with no reference."""

from __future__ import annotations

from typing import assert_never

import torch
from torch.nn.functional import logsigmoid

from pipeline.backends.training.guarded import GuardedTrainer
from pipeline.backends.training.job import TrainJob
from pipeline.backends.training.pairs import Sides, build_pairs
from pipeline.backends.training.settings import AttemptSettings
from schemas.preference import CpoOptions


def build(job: TrainJob, settings: AttemptSettings) -> GuardedTrainer:
    """Return a fresh CPO trainer."""
    options = job.config.cpo
    return build_pairs(job, settings, lambda sides: cpo_loss(sides, options))


def cpo_loss(sides: Sides, options: CpoOptions) -> torch.Tensor:
    """Return L_prefer + cpo_alpha L_NLL of each pair (section 3).

    L_prefer is -log sigmoid(beta (log p(chosen) - log p(rejected))), or the hinge or the square that stands in its
    place. L_NLL is the mean over the chosen answer's tokens, as in TRL, so that its weight does not depend on length.
    """
    margin = sides.chosen - sides.rejected
    match options.loss_type:
        case "sigmoid":
            right, wrong = logsigmoid(options.beta * margin), logsigmoid(-options.beta * margin)
            prefer = -(1 - options.label_smoothing) * right - options.label_smoothing * wrong
        case "hinge":
            prefer = torch.relu(1 - options.beta * margin)
        case "ipo":
            prefer = (sides.chosen_mean - sides.rejected_mean - 1 / (2 * options.beta)) ** 2
        case unknown:
            assert_never(unknown)
    return prefer - options.cpo_alpha * sides.chosen_mean
