"""Measures of a real model: what it says of its own answers and of those expected, against the definition."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline.backends.model_transformers import load_causal_lm
from pipeline.backends.tokenizer_transformers import load_tokenizer
from pipeline.core.errors import ConfigError, DataError
from pipeline.core.models import ModelFiles
from pipeline.render import render_conversation
from schemas.artifacts import Stored
from schemas.data import DataArtifact
from schemas.evaluate import BaseSubject, GenerationConfig, MetricSpec, TfidfSubject
from schemas.render import RenderOptions
from tests.evaluate.support import data_artifact, example, labeled_rows
from tests.evaluate.test_stage import evaluate, table
from tests.support.tiny_model import write_tiny_base
from tests.support.variants import base_ref

BOTH = (MetricSpec(name="perplexity"), MetricSpec(name="calibration_error", params={"bins": 4}))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_base(tmp_path_factory.mktemp("base"), tie_word_embeddings=False, initializer_range=0.3)


@pytest.fixture
def data(tmp_path: Path) -> Stored[DataArtifact]:
    return data_artifact(tmp_path / "data", train=labeled_rows(), test=labeled_rows(2)[12:])


def test_perplexity_is_that_of_the_tokens_which_training_trains(
    tmp_path: Path, data: Stored[DataArtifact], base: Path
) -> None:
    artifact = evaluate(tmp_path / "work", data, BaseSubject(), base=base_ref(base), measures=BOTH)
    model, tokenizer = load_causal_lm(ModelFiles(str(base), None, None, str(base), False)), load_tokenizer(str(base))
    nats, tokens = 0.0, 0
    for row in labeled_rows(2)[12:]:
        rendered = render_conversation(row.messages, tokenizer, RenderOptions())
        with torch.inference_mode():
            told = torch.log_softmax(model(torch.tensor([rendered.ids])).logits[0].double(), dim=-1)
        places = [place for place, trained in enumerate(rendered.trained) if trained]
        nats -= sum(float(told[place - 1, rendered.ids[place]]) for place in places)
        tokens += len(places)
    found = artifact.measures["perplexity"]
    assert found.value == pytest.approx(math.exp(nats / tokens), rel=1e-5)
    assert found.low < found.value < found.high
    assert found.n == 12


def test_calibration_is_of_the_answers_that_were_given(tmp_path: Path, data: Stored[DataArtifact], base: Path) -> None:
    few = GenerationConfig(max_new_tokens=3)
    artifact = evaluate(tmp_path / "work", data, BaseSubject(), base=base_ref(base), measures=BOTH, generation=few)
    assert sum(part.n for part in artifact.reliability) == 12
    assert len(artifact.reliability) == 4
    # The greedy answers of a random model are wrong: the error is the mean probability of an answer.
    assert set(table(tmp_path / "work")["score.exact_match"]) == {0.0}
    mean = sum(part.n * part.confidence for part in artifact.reliability) / 12
    assert artifact.measures["calibration_error"].value == pytest.approx(mean, rel=1e-9)
    assert 0.0 < mean < 1.0


def test_a_subject_without_probabilities_has_no_measures(tmp_path: Path, data: Stored[DataArtifact]) -> None:
    artifact = evaluate(tmp_path / "work", data, TfidfSubject(), measures=BOTH)
    assert artifact.measures == {} and artifact.reliability == ()


def test_measures_change_no_score(tmp_path: Path, data: Stored[DataArtifact], base: Path) -> None:
    plain = evaluate(tmp_path / "plain", data, BaseSubject(), base=base_ref(base))
    measured = evaluate(tmp_path / "measured", data, BaseSubject(), base=base_ref(base), measures=BOTH)
    assert measured.model_copy(update={"measures": {}, "reliability": ()}) == plain
    assert table(tmp_path / "plain") == table(tmp_path / "measured")


@pytest.mark.parametrize(
    ("measures", "says"),
    [
        ((MetricSpec(name="perplexity"),) * 2, "perplexity is there twice"),
        ((MetricSpec(name="exact_match"),), "a metric and no measure"),
    ],
)
def test_what_is_no_list_of_measures_is_refused_before_anything_is_asked(
    tmp_path: Path, data: Stored[DataArtifact], measures: Any, says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        evaluate(tmp_path / "work", data, TfidfSubject(), measures=measures)


def test_an_expected_answer_that_exceeds_the_context_is_named(tmp_path: Path, base: Path) -> None:
    long = data_artifact(tmp_path / "data", test=[example(0, "hello", "refund"), example(4, "hello", "login " * 400)])
    with pytest.raises(DataError, match="exceed the model's context") as refused:
        evaluate(tmp_path / "work", long, BaseSubject(), base=base_ref(base), measures=BOTH[:1])
    assert refused.value.where == "source row 5"
