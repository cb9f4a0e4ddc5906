"""The one door from this stage to the frameworks."""

from __future__ import annotations

from collections.abc import Iterable

from pipeline.backends.training.job import Reward, Row, TrainJob, TrainOutcome
from pipeline.render import Tokenizer
from schemas.methods import TrainMethod

__all__ = ["Reward", "Row", "TrainJob", "TrainOutcome", "load_tokenizer", "train", "train_tokenizer"]


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
