"""The table of training methods: what each learns from and what it needs."""

from __future__ import annotations

from typing import Literal

from schemas.base import Schema
from schemas.data import ExampleKind

TrainMethod = Literal["sft", "dpo", "kto", "orpo", "cpo", "simpo", "reward", "grpo", "rloo", "ppo"]


class Method(Schema):
    """One training method.

    Attributes:
        title: what it is called in a sentence.
        source: where it is described.
        kinds: the kinds of rows it learns from.
        base_rows: whether it can learn from rows of the base's own tasks, or be held to them.
        dropout: whether it trains with dropout; what compares answers does not, so that they differ by training alone.
        reference: whether it compares with the base as it was.
        rewarded: whether it learns from rewards of the model's own answers; a batch then counts answers.
        scores: whether what it leaves scores answers and gives none.
        sequences: sequences of tokens that one row is.
    """

    title: str
    source: str
    kinds: tuple[ExampleKind, ...]
    base_rows: bool = False
    dropout: bool = False
    reference: bool = False
    rewarded: bool = False
    scores: bool = False
    sequences: int = 2

    @property
    def compares(self) -> bool:
        """Whether it learns from better and worse answers."""
        return "preference" in self.kinds


METHODS: dict[TrainMethod, Method] = {
    "sft": Method(
        title="supervised fine-tuning",
        source="TRL's SFTTrainer",
        kinds=("conversation", "text"),
        base_rows=True,
        dropout=True,
        sequences=1,
    ),
    "dpo": Method(
        title="direct preference optimization",
        source="Rafailov et al. 2023, arXiv:2305.18290",
        kinds=("preference",),
        reference=True,
    ),
    "kto": Method(
        title="Kahneman-Tversky optimization",
        source="Ethayarajh et al. 2024, arXiv:2402.01306",
        kinds=("preference", "unpaired"),
        reference=True,
    ),
    "orpo": Method(
        title="odds ratio preference optimization",
        source="Hong et al. 2024, arXiv:2403.07691",
        kinds=("preference",),
    ),
    "cpo": Method(
        title="contrastive preference optimization",
        source="Xu et al. 2024, arXiv:2401.08417",
        kinds=("preference",),
    ),
    "simpo": Method(
        title="simple preference optimization",
        source="Meng et al. 2024, arXiv:2405.14734",
        kinds=("preference",),
    ),
    "reward": Method(
        title="reward model",
        source="Bradley and Terry 1952; Ouyang et al. 2022, arXiv:2203.02155",
        kinds=("preference",),
        scores=True,
    ),
    "grpo": Method(
        title="group relative policy optimization",
        source="Shao et al. 2024, arXiv:2402.03300",
        kinds=("conversation",),
        reference=True,
        rewarded=True,
        sequences=1,
    ),
    "rloo": Method(
        title="REINFORCE leave-one-out",
        source="Ahmadian et al. 2024, arXiv:2402.14740",
        kinds=("conversation",),
        reference=True,
        rewarded=True,
        sequences=1,
    ),
    "ppo": Method(
        title="proximal policy optimization",
        source="Schulman et al. 2017, arXiv:1707.06347; Ziegler et al. 2019, arXiv:1909.08593",
        kinds=("conversation",),
        reference=True,
        rewarded=True,
        sequences=1,
    ),
}
"""Every method by name. A new one is a line here, its options, and a file in `pipeline/backends/training/methods/`."""


def methods_for(kind: ExampleKind) -> tuple[TrainMethod, ...]:
    """Return the methods that learn from rows of a kind."""
    return tuple(name for name, method in METHODS.items() if kind in method.kinds)
