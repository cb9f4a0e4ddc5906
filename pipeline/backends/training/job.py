"""What a trainer is given and what it gives back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from pipeline.backends.generation import Question
from pipeline.core.context import CallContext
from pipeline.metrics import Metric
from pipeline.metrics.reasoning import answer_of
from pipeline.render import Rendered, RenderedPair, RenderedPrompt, RenderedVerdict, Tokenizer
from schemas.data import Message
from schemas.distributed import ALONE, DistributedOptions, Processes, Strategy
from schemas.rl import RewardReport
from schemas.train import Recovery, TrainConfig

if TYPE_CHECKING:
    from pipeline.backends.reward_transformers import RewardModel
    from pipeline.backends.training.distributed_ranks import Ranks
    from pipeline.backends.training.guarded import GuardedTrainer
    from pipeline.backends.training.settings import AttemptSettings

Row: TypeAlias = Rendered | RenderedPair | RenderedPrompt | RenderedVerdict
Precision: TypeAlias = Literal["float32", "bfloat16"]


class Reward(Protocol):
    """What answers are rewarded by; a reward is ``weight`` times its score."""

    @property
    def name(self) -> str:
        """How the run description and the log call it."""

    @property
    def weight(self) -> float:
        """What its score is multiplied by."""

    def scores(self, prompts: Sequence[RenderedPrompt], answers: Sequence[str], context: CallContext) -> list[float]:
        """Return the score of each answer to its prompt."""


@dataclass(frozen=True)
class MetricReward:
    """A metric that answers are rewarded by."""

    name: str
    weight: float
    metric: Metric

    def of(self, answer: str, reference: str) -> float:
        """Return the score of an answer, in [0, 1]; reasoning before it does not count."""
        return float(self.metric.item(answer_of(answer, reference), reference))

    def scores(self, prompts: Sequence[RenderedPrompt], answers: Sequence[str], context: CallContext) -> list[float]:  # noqa: ARG002
        """Return the score of each answer, in [0, 1], beside the one that its row gives."""
        return [self.of(answer, prompt.reference) for prompt, answer in zip(prompts, answers, strict=True)]


@dataclass(frozen=True)
class ModelReward:
    """A reward model that answers are rewarded by; ``batch_size`` answers are scored at a time."""

    name: str
    weight: float
    model: RewardModel
    batch_size: int

    def scores(self, prompts: Sequence[RenderedPrompt], answers: Sequence[str], context: CallContext) -> list[float]:
        """Return the model's output for each answer, which has no bounds; answers of rows are not looked at."""
        questions = [Question(prompt.question, prompt.tools) for prompt in prompts]
        said = [Message(role="assistant", content=answer) for answer in answers]
        return self.model.score(questions, said, batch_size=self.batch_size, context=context)


@dataclass(frozen=True)
class TrainJob:
    """One training: its config, its rows as tokens, and where it works.

    ``base_rows`` are rows of the base's own tasks that retention methods read. ``rewards`` are what a method that
    learns from them is given for its answers.
    ``scratch`` keeps checkpoints from attempt to attempt; ``output`` receives the finished model's files. Where
    ``shared`` says how several ``processes`` train, each of them has ``ranks``; the stage's own process, which has
    none, starts them and writes the model in the end.
    """

    config: TrainConfig
    train: Sequence[Row]
    validation: Sequence[Row]
    tokenizer: Tokenizer
    scratch: Path
    output: Path
    context: CallContext
    processes: Processes = ALONE
    shared: DistributedOptions | None = None
    ranks: Ranks | None = None
    base_rows: Sequence[Row] = ()
    rewards: Sequence[Reward] = ()

    @property
    def starts_others(self) -> bool:
        """Whether other processes train."""
        return self.shared is not None and self.ranks is None

    @property
    def longest(self) -> int:
        """The length in tokens of the longest row."""
        rows = (*self.train, *self.validation, *self.base_rows)
        return max(len(row.ids) if isinstance(row, Rendered) else row.longest for row in rows)


@dataclass(frozen=True)
class TrainOutcome:
    """How a training went. ``log`` holds one entry per logged step or evaluation; losses are means, in nats."""

    parameters: int
    trainable_parameters: int
    steps: int
    epochs: float
    train_loss: float
    eval_loss: float | None
    best_step: int | None
    stopped_early: bool
    micro_batch: int
    accumulation: int
    dtype: Precision
    processes: int
    strategy: Strategy | None
    recoveries: tuple[Recovery, ...]
    log: tuple[dict[str, float | int], ...]
    penalty: float | None = None
    interpolation: float | None = None
    rewards: RewardReport | None = None


def as_inputs(rows: Sequence[Row]) -> list[dict[str, list[int]]]:
    """Return rendered conversations or texts as a causal language model's trainer takes them."""
    return [{"input_ids": row.ids, "labels": row.labels} for row in rows if isinstance(row, Rendered)]


TrainerBuilder: TypeAlias = "Callable[[TrainJob, AttemptSettings], GuardedTrainer]"
"""Makes a fresh trainer over a freshly loaded model; called again after every recovery."""
