"""The table of training methods: what each learns from and what it needs."""

from __future__ import annotations

from typing import Literal

from schemas.base import Schema
from schemas.data import ExampleKind

TrainMethod = Literal["sft", "dpo", "kto", "orpo", "cpo", "simpo", "reward", "grpo", "rloo", "ppo", "gkd", "seq_kd"]


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
        teacher: whether it learns from another model.
        sequences: sequences of tokens that one row is.
        learns: the test in which what it trains becomes significantly better on a CPU.
        gpu: the page of docs/ that shows it on a GPU; null where nobody has tried it there.
    """

    title: str
    source: str
    kinds: tuple[ExampleKind, ...]
    base_rows: bool = False
    dropout: bool = False
    reference: bool = False
    rewarded: bool = False
    scores: bool = False
    teacher: bool = False
    sequences: int = 2
    learns: str
    gpu: str | None = None

    @property
    def compares(self) -> bool:
        """Whether it learns from better and worse answers."""
        return "preference" in self.kinds


_PREFERENCES = "tests/train/test_learns_from_preferences.py::test_a_method_makes_the_model_better"
_DISTILLATION = "tests/train/test_distillation.py::test_a_method_brings_the_student_closer_to_its_teacher"
_REWARDS = "tests/train/test_learns_from_rewards.py::test_a_method_makes_the_model_better"

METHODS: dict[TrainMethod, Method] = {
    "sft": Method(
        title="supervised fine-tuning",
        source="TRL's SFTTrainer",
        kinds=("conversation", "text"),
        base_rows=True,
        dropout=True,
        sequences=1,
        learns="tests/e2e/test_demo.py::test_the_demo_promotes_with_the_proof",
        gpu="gpu.md",
    ),
    "dpo": Method(
        title="direct preference optimization",
        source="Rafailov et al. 2023, arXiv:2305.18290",
        kinds=("preference",),
        reference=True,
        learns=f"{_PREFERENCES}[dpo]",
    ),
    "kto": Method(
        title="Kahneman-Tversky optimization",
        source="Ethayarajh et al. 2024, arXiv:2402.01306",
        kinds=("preference", "unpaired"),
        reference=True,
        learns=f"{_PREFERENCES}[kto]",
    ),
    "orpo": Method(
        title="odds ratio preference optimization",
        source="Hong et al. 2024, arXiv:2403.07691",
        kinds=("preference",),
        learns=f"{_PREFERENCES}[orpo]",
    ),
    "cpo": Method(
        title="contrastive preference optimization",
        source="Xu et al. 2024, arXiv:2401.08417",
        kinds=("preference",),
        learns=f"{_PREFERENCES}[cpo]",
    ),
    "simpo": Method(
        title="simple preference optimization",
        source="Meng et al. 2024, arXiv:2405.14734",
        kinds=("preference",),
        learns=f"{_PREFERENCES}[simpo]",
    ),
    "reward": Method(
        title="reward model",
        source="Bradley and Terry 1952; Ouyang et al. 2022, arXiv:2203.02155",
        kinds=("preference",),
        scores=True,
        learns="tests/train/test_learns_from_preferences.py::test_a_reward_model_learns_what_is_preferred",
    ),
    "grpo": Method(
        title="group relative policy optimization",
        source="Shao et al. 2024, arXiv:2402.03300",
        kinds=("conversation",),
        reference=True,
        rewarded=True,
        sequences=1,
        learns=f"{_REWARDS}[grpo]",
    ),
    "rloo": Method(
        title="REINFORCE leave-one-out",
        source="Ahmadian et al. 2024, arXiv:2402.14740",
        kinds=("conversation",),
        reference=True,
        rewarded=True,
        sequences=1,
        learns=f"{_REWARDS}[rloo]",
    ),
    "ppo": Method(
        title="proximal policy optimization",
        source="Schulman et al. 2017, arXiv:1707.06347; Ziegler et al. 2019, arXiv:1909.08593",
        kinds=("conversation",),
        reference=True,
        rewarded=True,
        sequences=1,
        learns=f"{_REWARDS}[ppo]",
    ),
    "gkd": Method(
        title="distillation from a teacher's probabilities",
        source="Agarwal et al. 2023, arXiv:2306.13649; Hinton et al. 2015, arXiv:1503.02531",
        kinds=("conversation", "text"),
        teacher=True,
        sequences=1,
        learns=f"{_DISTILLATION}[gkd]",
    ),
    "seq_kd": Method(
        title="distillation from a teacher's answers, with rejection sampling",
        source="Kim and Rush 2016, arXiv:1606.07947; Yuan et al. 2023, arXiv:2308.01825",
        kinds=("conversation",),
        dropout=True,
        teacher=True,
        sequences=1,
        learns=f"{_DISTILLATION}[seq_kd]",
    ),
}
"""Every method by name. A new one is a line here, its options, and a file in `pipeline/backends/training/methods/`."""


def methods_for(kind: ExampleKind) -> tuple[TrainMethod, ...]:
    """Return the methods that learn from rows of a kind."""
    return tuple(name for name, method in METHODS.items() if kind in method.kinds)
