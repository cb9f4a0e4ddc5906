"""How training learns from rewards of a model's own answers: one class of options per method, under TRL's names."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from schemas.base import Schema

Above = Annotated[float, Field(gt=0.0)]
NotNegative = Annotated[float, Field(ge=0.0)]
Positive = Annotated[int, Field(gt=0)]
Share = Annotated[float, Field(gt=0.0, le=1.0)]

GrpoLoss = Literal["grpo", "dapo", "dr_grpo", "bnpo", "cispo", "sapo", "luspo", "vespo"]


class RolloutOptions(Schema):
    """How answers are drawn: up to ``max_completion_length`` tokens at ``temperature`` from the ``top_p`` nucleus."""

    max_completion_length: Positive = 256
    temperature: Above = 1.0
    top_p: Share = 1.0

    @property
    def answers(self) -> int:
        """How many answers to each prompt are drawn together."""
        return 1

    @property
    def passes(self) -> int:
        """How many optimizer steps each answer is used for."""
        return 1

    @property
    def mini_batches(self) -> int:
        """How many optimizer steps the answers that are drawn together are dealt to."""
        return 1

    @property
    def held_to_base(self) -> bool:
        """Whether the distance from the base is part of what is optimized."""
        return False


class GroupOptions(RolloutOptions):
    """What GRPO and RLOO share: several answers to each prompt, each compared with the others."""

    num_generations: Annotated[int, Field(ge=2)] = 8
    num_iterations: Positive = 1
    beta: NotNegative = 0.0
    epsilon: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.2
    epsilon_high: Above | None = None
    mask_truncated_completions: bool = False

    @property
    def answers(self) -> int:
        """How many answers to each prompt are drawn together."""
        return self.num_generations

    @property
    def passes(self) -> int:
        """How many optimizer steps each answer is used for."""
        return self.num_iterations

    @property
    def held_to_base(self) -> bool:
        """Whether the distance from the base is part of what is optimized."""
        return self.beta > 0.0


class GrpoOptions(GroupOptions):
    """TRL's GRPOConfig. ``loss_type`` names the variant: GRPO's own, DAPO, Dr. GRPO, BNPO, CISPO, SAPO, LUSPO, VESPO.

    ``importance_sampling_level: sequence`` with ``loss_type: grpo`` is GSPO; ``multi_objective_aggregation:
    normalize_then_sum`` is GDPO. With ``beta`` 0 nothing holds the model to the base.
    """

    loss_type: GrpoLoss = "dapo"
    scale_rewards: Literal["group", "batch", "none"] = "group"
    importance_sampling_level: Literal["token", "sequence"] = "token"
    multi_objective_aggregation: Literal["sum_then_normalize", "normalize_then_sum"] = "sum_then_normalize"
    delta: Annotated[float | None, Field(gt=1.0)] = None
    top_entropy_quantile: Share = 1.0
    entropy_coef: float = 0.0
    off_policy_mask_threshold: Above | None = None
    sapo_temperature_neg: Above = 1.05
    sapo_temperature_pos: Above = 1.0
    vespo_k_pos: NotNegative = 2.0
    vespo_lambda_pos: NotNegative = 3.0
    vespo_k_neg: NotNegative = 3.0
    vespo_lambda_neg: NotNegative = 2.0

    @model_validator(mode="after")
    def _variant_fits(self) -> GrpoOptions:
        sequence = self.importance_sampling_level == "sequence"
        if self.loss_type == "luspo" and not sequence:
            raise ValueError("luspo weighs whole answers: set importance_sampling_level to sequence")
        if sequence and self.loss_type in ("bnpo", "dr_grpo", "dapo", "cispo", "vespo"):
            raise ValueError(
                f"{self.loss_type} adds up tokens: set loss_type to grpo, or importance_sampling_level back"
            )
        if self.loss_type == "cispo" and self.epsilon_high is None:
            raise ValueError("cispo clips weights at epsilon_high, such as 5.0: set it")
        return self


class RlooOptions(GroupOptions):
    """TRL's RLOOConfig: the mean reward of a prompt's other answers is the baseline; ``beta`` times KL is taken off."""

    num_generations: Annotated[int, Field(ge=2)] = 4
    beta: NotNegative = 0.05
    normalize_advantages: bool = False
    reward_clip_range: tuple[float, float] | None = None

    @model_validator(mode="after")
    def _range_is_one(self) -> RlooOptions:
        if self.reward_clip_range is not None and self.reward_clip_range[0] >= self.reward_clip_range[1]:
            raise ValueError("reward_clip_range is its lower end, then its upper end")
        return self


class PpoOptions(RolloutOptions):
    """The options of TRL's former PPOConfig. The model itself has the value head, on its last hidden state.

    Each answer earns its reward at its last token, less ``kl_coef`` times its distance from the base at each of them;
    under ``adap_kl_ctrl`` the coefficient follows a ``target`` distance, in nats per answer, within ``horizon``
    answers. The answers that are drawn together make ``num_mini_batches`` steps, ``num_ppo_epochs`` times.
    ``missing_eos_penalty`` is taken off an answer that is cut.
    """

    num_ppo_epochs: Positive = 4
    num_mini_batches: Positive = 1
    kl_coef: NotNegative = 0.05
    adap_kl_ctrl: bool = True
    target: Above = 6.0
    horizon: Positive = 10_000
    cliprange: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.2
    vf_coef: NotNegative = 0.1
    cliprange_value: Above = 0.2
    gamma: Share = 1.0
    lam: Annotated[float, Field(ge=0.0, le=1.0)] = 0.95
    whiten_rewards: bool = False
    missing_eos_penalty: Above | None = None

    @property
    def passes(self) -> int:
        """How many optimizer steps each answer is used for."""
        return self.num_ppo_epochs

    @property
    def mini_batches(self) -> int:
        """How many optimizer steps the answers that are drawn together are dealt to."""
        return self.num_mini_batches

    @property
    def held_to_base(self) -> bool:
        """Whether the distance from the base is part of what is optimized."""
        return self.kl_coef > 0.0


class RewardGuards(Schema):
    """From where on a training says that its reward may be gained in another way than was meant; null says nothing.

    ``length_ratio``: mean answer length over that of the first answers, or its inverse. ``clipped``: share of answers
    cut at ``max_completion_length``. ``repetition``: share of an answer's 4-grams that it has had before. ``kl``:
    distance from the base, in nats per token.
    """

    length_ratio: Annotated[float | None, Field(gt=1.0)] = 2.0
    clipped: Share | None = 0.5
    repetition: Share | None = 0.3
    kl: Above | None = 1.0


class RolloutFigures(Schema):
    """What a set of answers was like, as means.

    ``reward`` is the weighted sum, ``rewards`` the score by each metric, ``completion_length`` in tokens; the rest as
    in `RewardGuards`. ``kl`` is null where nothing was compared with the base.
    """

    reward: float
    rewards: dict[str, float]
    completion_length: float
    clipped: float
    repetition: float
    kl: float | None = None


Guard = Literal["length_ratio", "clipped", "repetition", "kl"]

_TOLD: dict[Guard, str] = {
    "length_ratio": "answers were {value:.2g} times as long as at first",
    "clipped": "{value:.0%} of the answers were cut at max_completion_length",
    "repetition": "{value:.0%} of an answer's 4-grams repeated an earlier one",
    "kl": "answers were {value:.2g} nats per token away from the base",
}


class RewardWarning(Schema):
    """A guard that was passed: first at ``step``, with ``value`` where ``limit`` is allowed."""

    step: int
    guard: Guard
    value: float
    limit: float

    @property
    def text(self) -> str:
        """What was seen, and what to look at."""
        seen = _TOLD[self.guard].format(value=self.value)
        return (
            f"at step {self.step:,}, {seen} (train.guards.{self.guard} is {self.limit:g}): see whether the reward was "
            "gained as it was meant"
        )


class RewardReport(Schema):
    """What a training by rewards did: over the first and the last tenth of its logged steps.

    ``validation`` is the mean reward of greedy answers to the validation rows after training.
    """

    first: RolloutFigures
    last: RolloutFigures
    validation: float | None
    warnings: tuple[RewardWarning, ...] = ()
