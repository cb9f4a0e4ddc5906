"""The one door from this stage to the frameworks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from pipeline.backends.training.job import MetricReward, ModelReward, Reward, Row, TrainJob, TrainOutcome
from pipeline.core.models import ModelFiles
from pipeline.render import Tokenizer
from schemas.methods import TrainMethod

if TYPE_CHECKING:
    from pipeline.backends.reward_transformers import RewardModel

__all__ = [
    "MetricReward",
    "ModelReward",
    "Reward",
    "RewardModel",
    "Row",
    "TrainJob",
    "TrainOutcome",
    "load_reward_model",
    "load_tokenizer",
    "train",
    "train_tokenizer",
]


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
