"""Which answer of a pair a model prefers, as its answer to the item."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.core.context import CallContext
from pipeline.core.errors import ConfigError, DataError
from pipeline.core.workspace import content_digest, list_files
from pipeline.evaluate.ranking import Ranker
from pipeline.evaluate.stage import run
from schemas.artifacts import Stored
from schemas.base_model import BaseModelRef
from schemas.data import DataArtifact, Example, Message
from schemas.evaluate import (
    BaseSubject,
    EvaluateArtifact,
    EvaluateConfig,
    EvaluateInputs,
    GenerationConfig,
    MetricSpec,
    ModelSubject,
    TfidfSubject,
)
from tests.evaluate.support import data_artifact
from tests.support.stored import stored, workspace
from tests.support.tiny_model import write_tiny_base
from tests.support.training import base as base_ref
from tests.support.training import data_artifact as training_data
from tests.support.training import preference, run_stage, train_config

HELD = [preference(number) for number in range(16, 26)]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> BaseModelRef:
    return base_ref(write_tiny_base(tmp_path_factory.mktemp("base")))


@pytest.fixture
def data(tmp_path: Path) -> Stored[DataArtifact]:
    return data_artifact(tmp_path / "data", test=HELD, kind="preference", labels=None)


def rank(directory: Path, data: Stored[DataArtifact], subject: Any, **changes: Any) -> EvaluateArtifact:
    model = changes.pop("model", None)
    config = EvaluateConfig(
        subject=subject,
        metrics=(MetricSpec(name="pairwise_accuracy"),),
        generation=GenerationConfig(batch_size=3),
        ranks=True,
        **changes,
    )
    return run(config, EvaluateInputs(data=data, model=model), CallContext(), workspace(directory))


def predictions(directory: Path) -> list[str]:
    from pyarrow import parquet

    found: list[str] = parquet.read_table(directory / "output" / "items.parquet").to_pydict()["prediction"]
    return found


def test_a_language_model_prefers_what_it_finds_likelier(
    tmp_path: Path, base: BaseModelRef, data: Stored[DataArtifact]
) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    from pipeline.backends.tokenizer_transformers import load_tokenizer
    from pipeline.render import render_conversation
    from schemas.render import RenderOptions

    artifact = rank(tmp_path / "work", data, BaseSubject(), base=base)
    assert base.weights is not None
    model, tokenizer = (
        AutoModelForCausalLM.from_pretrained(base.weights.location),
        load_tokenizer(base.weights.location),
    )

    def mean(row: Example, answer: Message) -> float:
        told = render_conversation((*row.messages, answer), tokenizer, RenderOptions())
        with torch.no_grad():  # transformers' loss is minus the mean over the labels
            return -float(model(input_ids=torch.tensor([told.ids]), labels=torch.tensor([told.labels])).loss)

    wanted = [
        row.chosen[0] if mean(row, row.chosen[0]) > mean(row, row.rejected[0]) else row.rejected[0] for row in HELD
    ]
    assert predictions(tmp_path / "work") == [answer.content for answer in wanted]
    right = sum(answer == row.chosen[0] for answer, row in zip(wanted, HELD, strict=True))
    score = artifact.scores["pairwise_accuracy"]
    assert (score.value, score.n) == (right / len(HELD), len(HELD))
    assert score.low < score.value < score.high or right in (0, len(HELD))


@pytest.mark.slow
def test_a_reward_model_that_learned_prefers_rightly(
    tmp_path: Path, base: BaseModelRef, data: Stored[DataArtifact]
) -> None:
    pairs = training_data(tmp_path / "pairs", [preference(number) for number in range(16)], kind="preference")
    trained = run_stage(tmp_path / "train", train_config(base, method="reward", num_train_epochs=4), pairs)
    model = stored("train", trained.workspace.output, trained.artifact)
    artifact = rank(tmp_path / "work", data, ModelSubject(), base=base, model=model)
    assert artifact.scores["pairwise_accuracy"].value == 1.0
    again = rank(tmp_path / "again", data, ModelSubject(), base=base, model=model)
    assert again == artifact
    outputs = [content_digest(list_files(tmp_path / name / "output")) for name in ("work", "again")]
    assert outputs[0] == outputs[1]


def test_where_it_prefers_neither_the_rejected_one_counts() -> None:
    from pipeline.evaluate.items import as_item

    ranker = Ranker([as_item(row) for row in HELD[:3]], lambda: lambda *_: [(1.0, 1.0), (2.0, 1.0), (0.0, 1.0)], "test")
    answers = ranker.answer(0, 3, CallContext(), lambda _: None)
    wanted = [HELD[0].rejected[0], HELD[1].chosen[0], HELD[2].rejected[0]]
    assert [answer.text for answer in answers] == [turn.content for turn in wanted]


def test_rows_that_are_no_pairs_are_named(tmp_path: Path, base: BaseModelRef) -> None:
    same = HELD[1].model_copy(update={"rejected": HELD[1].chosen})
    data = data_artifact(tmp_path / "data", test=[HELD[0], same], kind="preference", labels=None)
    with pytest.raises(DataError, match="1 rows do not hold two answers in different words") as caught:
        rank(tmp_path / "work", data, BaseSubject(), base=base)
    assert caught.value.where == f"source row {same.row}"


def test_what_answers_without_a_model_prefers_nothing(tmp_path: Path, data: Stored[DataArtifact]) -> None:
    with pytest.raises(ConfigError, match="tfidf prefers no answer"):
        rank(tmp_path / "work", data, TfidfSubject())
