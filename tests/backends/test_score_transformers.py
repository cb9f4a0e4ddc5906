"""Likelihoods in batches against the definition: one sequence at a time, no padding."""

from __future__ import annotations

import random
import re
from typing import Any

import pytest
import torch

from pipeline.backends.generate_transformers import TransformersGenerator
from pipeline.backends.model_transformers import load_causal_lm
from pipeline.backends.score_transformers import score_continuations
from pipeline.backends.tokenizer_transformers import load_tokenizer
from pipeline.core.context import CallContext
from pipeline.core.errors import DataError
from pipeline.core.models import ModelFiles
from tests.support.tiny_model import write_tiny_base

Rows = list[list[int]]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = write_tiny_base(tmp_path_factory.mktemp("base"), tie_word_embeddings=False, initializer_range=0.3)
    generator = TransformersGenerator(
        load_causal_lm(ModelFiles(str(folder), None, None, str(folder), False)),
        load_tokenizer(str(folder)),
        stop_ids={2},
        context_length=64,
    )
    return generator, folder


@pytest.fixture(scope="module")
def rows() -> tuple[Rows, Rows]:
    draw = random.Random(1)

    def some(least: int, most: int) -> list[int]:
        return [draw.randrange(3, 300) for _ in range(draw.randrange(least, most))]

    return [some(1, 30) for _ in range(17)], [some(0, 12) for _ in range(17)]


def by_definition(model: Any, prompt: list[int], more: list[int]) -> float:
    total = 0.0
    with torch.inference_mode():
        for place in range(len(more)):
            logits = model(torch.tensor([[*prompt, *more[:place]]]), use_cache=False).logits[0, -1]
            total += float(torch.log_softmax(logits.double(), dim=-1)[more[place]])
    return total


@pytest.mark.parametrize("batch_size", [1, 5, 32])
def test_each_continuation_is_scored_as_if_it_were_alone(model: Any, rows: tuple[Rows, Rows], batch_size: int) -> None:
    generator, folder = model
    alone = load_causal_lm(ModelFiles(str(folder), None, None, str(folder), False))
    found = generator.score(*rows, batch_size=batch_size, context=CallContext())
    for one, prompt, more in zip(found, *rows, strict=True):
        assert one.tokens == len(more)
        assert one.log_probability == pytest.approx(by_definition(alone, prompt, more), abs=1e-4)


def test_without_keeping_few_logits_it_is_the_same(model: Any, rows: tuple[Rows, Rows]) -> None:
    _, folder = model
    alone = load_causal_lm(ModelFiles(str(folder), None, None, str(folder), False))
    found = [
        score_continuations(
            alone, *rows, batch_size=4, takes_keep=keep, context_length=None, context=CallContext(), advance=int
        )
        for keep in (True, False)
    ]
    for one, other in zip(*found, strict=True):
        assert one.log_probability == pytest.approx(other.log_probability, abs=1e-5)


@pytest.mark.parametrize(
    ("prompt", "more", "says"),
    [([], [5], "prompt 2.*begin with BOS"), ([5] * 60, [5] * 5, "exceed the model's context of 64 tokens")],
)
def test_what_cannot_be_scored_is_refused(model: Any, prompt: list[int], more: list[int], says: str) -> None:
    generator, _ = model
    with pytest.raises(DataError) as refused:
        generator.score([[5], prompt], [[6], more], batch_size=2, context=CallContext())
    told = f"{refused.value.message} {refused.value.where} {refused.value.fix}"
    assert re.search(says, told)
