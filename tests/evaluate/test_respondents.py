from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.core.context import CallContext
from pipeline.core.models import ModelFiles
from pipeline.evaluate.answers import collect
from pipeline.evaluate.items import as_item
from pipeline.evaluate.local_model import LocalModel
from pipeline.evaluate.prompts import Task
from pipeline.evaluate.respondents import LocalRespondent, ask_local
from schemas.evaluate import GenerationConfig
from tests.evaluate.support import example
from tests.support.tiny_model import write_tiny_base

SAMPLED = GenerationConfig(max_new_tokens=6, temperature=1.0, seed=3)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LocalModel:
    folder = str(write_tiny_base(tmp_path_factory.mktemp("base")))
    return LocalModel(ModelFiles(folder, None, None, folder, False), None, None)


def ask(model: LocalModel, config: GenerationConfig) -> LocalRespondent:
    items = [as_item(example(number, "the same question", "x")) for number in range(8)]
    respondent = ask_local(model, items, Task(), config, CallContext())
    respondent.portion = 4
    return respondent


def test_portions_draw_other_numbers_and_an_attempt_after_a_kill_the_same(model: LocalModel, tmp_path: Path) -> None:
    answers = collect(ask(model, SAMPLED), 8, tmp_path / "one", CallContext(), "evaluate")
    assert [answer.token_ids for answer in answers[:4]] != [answer.token_ids for answer in answers[4:]]

    (tmp_path / "one" / "answers-00000004-00000008.json").unlink()
    assert collect(ask(model, SAMPLED), 8, tmp_path / "one", CallContext(), "evaluate") == answers


def test_a_model_is_loaded_only_when_asked(model: LocalModel, tmp_path: Path) -> None:
    greedy = GenerationConfig(max_new_tokens=2)
    answers = collect(ask(model, greedy), 8, tmp_path, CallContext(), "evaluate")

    kept = ask(model, greedy)
    kept.open = lambda: pytest.fail("loaded though all answers are kept")
    assert collect(kept, 8, tmp_path, CallContext(), "evaluate") == answers
