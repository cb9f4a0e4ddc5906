"""How training learns from preferences: one class of options per method, under TRL's names."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from schemas.base import Schema

Above = Annotated[float, Field(gt=0.0)]
NotNegative = Annotated[float, Field(ge=0.0)]
Smoothing = Annotated[float, Field(ge=0.0, lt=0.5)]

DpoLoss = Literal[
    "sigmoid",
    "hinge",
    "ipo",
    "exo_pair",
    "nca_pair",
    "robust",
    "bco_pair",
    "sppo_hard",
    "aot",
    "aot_unpaired",
    "apo_zero",
    "apo_down",
    "discopop",
    "sft",
    "sigmoid_norm",
]


class DpoOptions(Schema):
    """TRL's DPOConfig: several losses may be added, by ``loss_weights``.

    ``precompute_ref_log_probs`` asks the reference once for every pair before training, and never again.
    """

    beta: Above = 0.1
    loss_type: Annotated[tuple[DpoLoss, ...], Field(min_length=1)] = ("sigmoid",)
    loss_weights: tuple[Above, ...] | None = None
    label_smoothing: Smoothing = 0.0
    ld_alpha: Annotated[float | None, Field(ge=0.0, le=1.0)] = None
    f_divergence_type: Literal["reverse_kl", "forward_kl", "js_divergence", "alpha_divergence"] = "reverse_kl"
    f_alpha_divergence_coef: Above = 0.5
    discopop_tau: Above = 0.05
    use_weighting: bool = False
    precompute_ref_log_probs: bool = False

    @model_validator(mode="after")
    def _losses_fit(self) -> DpoOptions:
        if self.loss_weights is not None and len(self.loss_weights) != len(self.loss_type):
            raise ValueError(f"give a weight for each loss: {len(self.loss_type)} in loss_weights")
        smoothed = [name for name in ("exo_pair", "robust") if name in self.loss_type]
        if smoothed and self.label_smoothing == 0.0:
            raise ValueError(f"{smoothed[0]} supposes that some pairs are the wrong way round: set label_smoothing")
        return self


class KtoOptions(Schema):
    """TRL's KTOConfig: answers that are good or bad by themselves; of a pair each side is one.

    ``precompute_ref_log_probs`` is for ``apo_zero_unpaired``: the answers that `kto` estimates its reference point from
    change with every batch.
    """

    beta: Above = 0.1
    loss_type: Literal["kto", "apo_zero_unpaired"] = "kto"
    desirable_weight: NotNegative = 1.0
    undesirable_weight: NotNegative = 1.0
    precompute_ref_log_probs: bool = False

    @model_validator(mode="after")
    def _reference_is_fixed(self) -> KtoOptions:
        if self.precompute_ref_log_probs and self.loss_type == "kto":
            raise ValueError("loss_type kto asks the reference about other answers in every batch: none is precomputed")
        return self


class OrpoOptions(Schema):
    """TRL's ORPOConfig: ``beta`` weighs the odds ratio (lambda in the paper) beside the likelihood of the chosen."""

    beta: Above = 0.1


class CpoOptions(Schema):
    """TRL's CPOConfig: ``cpo_alpha`` weighs the likelihood of the chosen answer."""

    beta: Above = 0.1
    loss_type: Literal["sigmoid", "hinge", "ipo"] = "sigmoid"
    label_smoothing: Smoothing = 0.0
    cpo_alpha: NotNegative = 1.0


class SimpoOptions(Schema):
    """SimPO, which TRL has as a loss of CPOConfig: ``simpo_gamma`` is the margin that is asked for."""

    beta: Above = 2.0
    simpo_gamma: NotNegative = 1.0
    cpo_alpha: NotNegative = 0.0


class RewardOptions(Schema):
    """TRL's RewardConfig: the base with one output, its score of an answer; of a pair the chosen one's is to be higher.

    ``center_rewards_coefficient`` weighs the square of the sum of a pair's scores, which holds them around 0
    (Eisenstein et al. 2023, arXiv:2312.09244, equation 2).
    """

    center_rewards_coefficient: Above | None = None
