"""The one door from this stage to the frameworks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.backends.generation import Completion, Generator
from pipeline.backends.training.job import MetricReward, ModelReward, Reward, Row, TrainJob, TrainOutcome
from pipeline.core.models import ModelFiles
from pipeline.render import Tokenizer, end_of_turn_ids
from schemas.methods import TrainMethod

if TYPE_CHECKING:
    from pipeline.backends.reward_transformers import RewardModel

__all__ = [
    "Completion",
    "MetricReward",
    "ModelReward",
    "Reward",
    "RewardModel",
    "Row",
    "Teacher",
    "TrainJob",
    "TrainOutcome",
    "load_reward_model",
    "load_tokenizer",
    "open_teacher",
    "train",
    "train_tokenizer",
]


@dataclass(frozen=True)
class Teacher:
    """A loaded model that answers, and its tokenizer."""

    tokenizer: Tokenizer
    generator: Generator


def train(method: TrainMethod, job: TrainJob) -> TrainOutcome:
    """Train by ``method``; see `pipeline.backends.training.loop.run_training` for the errors."""
    from pipeline.backends.training.quiet import quiet_libraries

    quiet_libraries()
    from pipeline.backends.training.loop import run_training
    from pipeline.backends.training.methods import load_builder
    from pipeline.backends.training.scoring import trained_positions_only

    with trained_positions_only():
        return run_training(job, load_builder(method))


def load_tokenizer(
    source: str, *, revision: str | None, chat_template: str | None, trust_remote_code: bool
) -> Tokenizer:
    """Load a tokenizer; see `pipeline.backends.tokenizer_transformers.load_tokenizer`."""
    from pipeline.backends import tokenizer_transformers

    return tokenizer_transformers.load_tokenizer(
        source, revision=revision, chat_template=chat_template, trust_remote_code=trust_remote_code
    )


def train_tokenizer(texts: Iterable[str], *, vocab_size: int, chat_template: str | None) -> Tokenizer:
    """Train a byte-level BPE tokenizer."""
    from pipeline.backends.tokenizer_transformers import train_bpe_tokenizer

    return train_bpe_tokenizer(texts, vocab_size=vocab_size, chat_template=chat_template)


def load_reward_model(files: ModelFiles, key: str) -> RewardModel:
    """Load a reward model; ``key`` of the run description names it in errors."""
    from pipeline.backends.training.quiet import quiet_libraries

    quiet_libraries()
    from pipeline.backends import reward_transformers

    return reward_transformers.load_reward_model(files, key)


def open_teacher(files: ModelFiles) -> Teacher:
    """Load a model that is learned from.

    Raises:
        ModelError: it cannot be loaded, or has no chat template.
    """
    from pipeline.backends import generate_transformers, model_transformers

    facts = model_transformers.read_facts(files)
    tokenizer = load_tokenizer(
        files.tokenizer, revision=files.revision, chat_template=None, trust_remote_code=files.trust_remote_code
    )
    stops = sorted({*end_of_turn_ids(tokenizer), *facts.stop_ids})
    generator = generate_transformers.load_generator(
        files, tokenizer, stop_ids=stops, context_length=facts.context_length, dtype="auto"
    )
    return Teacher(tokenizer, generator)
