"""Comparisons of what is served with what was trained and evaluated."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline.backends.tokenizer_transformers import load_tokenizer
from pipeline.core.context import CallContext
from pipeline.core.errors import IntegrityError
from pipeline.core.examples import write_examples
from pipeline.render import render_prompt
from pipeline.serve.parity import (
    Comparison,
    Expected,
    chat_request,
    compare,
    expectations,
    first_difference,
    write_comparisons,
)
from pipeline.serve.process import start_engine
from pipeline.serve.stage import prompt_mismatches
from schemas.artifacts import Stored
from schemas.data import DataArtifact
from schemas.evaluate import EvaluateArtifact, GenerationConfig
from schemas.render import RenderOptions
from schemas.serve import ParityOptions
from tests.serve.support import PYTHON, parrot, places, unchecked
from tests.support.training import conversation
from tests.support.variants import split_data

GENERATION = GenerationConfig(max_new_tokens=5)


def _item(text: str, ids: list[int], prediction: str, evaluated: int | None = None) -> Expected:
    tokens = len(ids) if evaluated is None else evaluated
    return Expected(text, ({"role": "user", "content": text},), None, ids, tokens, prediction)


def test_prompts_and_answers_are_compared_to_the_letter(tmp_path: Path) -> None:
    """The server's prompt ids are the letters' code points: a is 97, b is 98."""
    items = [
        _item("ab", [97, 98], "AB"),
        _item("ab", [97, 99], "AB"),
        _item("ab", [97, 98], "ab "),
        _item("ab", [97, 98], "AB", evaluated=3),
    ]
    with start_engine(parrot(tmp_path), places(tmp_path), python=PYTHON) as engine:
        engine.wait_until_ready(unchecked)
        extra = {"return_token_ids": True}
        found = list(compare(engine.client, "m", items, GENERATION, CallContext(), extra))
        untold = list(compare(engine.client, "m", items[:1], GENERATION, CallContext(), {}))
    assert [(one.prompt_equal, one.first_difference, one.answer_equal) for one in found] == [
        (True, None, True),
        (False, 1, True),
        (True, None, False),
        (False, None, True),
    ]
    assert prompt_mismatches(found) == 2
    assert untold[0].prompt_equal is None
    assert prompt_mismatches([*found, *untold]) is None


def test_what_is_expected_is_the_training_render_of_the_evaluated_items(
    base: Path, data: Stored[DataArtifact], adapter_evaluation: Stored[EvaluateArtifact]
) -> None:
    tokenizer = load_tokenizer(str(base))
    found = expectations(data, adapter_evaluation, tokenizer, RenderOptions(), 5)
    assert [item.id for item in found] == [f"row{1000 + number}" for number in range(5)]
    assert found[0].prompt_ids == render_prompt(conversation(1000).prompt, tokenizer)
    assert all(item.evaluated_tokens == len(item.prompt_ids) for item in found)
    assert len(expectations(data, adapter_evaluation, tokenizer, RenderOptions(), 100)) == 12


def test_an_evaluation_of_other_items_is_refused(
    base: Path, adapter_evaluation: Stored[EvaluateArtifact], tmp_path: Path
) -> None:
    other = split_data(tmp_path)
    write_examples(other.file("test.jsonl"), [conversation(5)])
    with pytest.raises(IntegrityError, match="row1000 is not in the test split"):
        expectations(other, adapter_evaluation, load_tokenizer(str(base)), RenderOptions(), 5)


def test_requests_are_greedy_and_tools_change_no_prompt() -> None:
    plain = chat_request(_item("hi", [1], ""), GENERATION)
    assert plain == {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 5, "temperature": 0}
    tool = {"type": "function", "function": {"name": "f"}}
    item = Expected("x", ({"role": "user", "content": "hi"},), (tool,), [1], 1, "")
    assert chat_request(item, GENERATION) == {**plain, "tools": [tool], "tool_choice": "none"}


def test_answers_may_differ_only_where_enough_are_compared() -> None:
    assert ParityOptions(prompts=10).max_answer_mismatches == 1
    assert ParityOptions(prompts=1, max_answer_mismatches=0).prompts == 1
    with pytest.raises(ValidationError, match="max_answer_mismatches 1 needs 10 prompts or more"):
        ParityOptions(prompts=9)
    with pytest.raises(ValidationError, match="max_answer_mismatches 6 needs 60 prompts or more"):
        ParityOptions(max_answer_mismatches=6)


@given(st.lists(st.integers(0, 3), max_size=6), st.lists(st.integers(0, 3), max_size=6))
def test_the_first_difference_is_where_equal_prefixes_end(left: list[int], right: list[int]) -> None:
    place = first_difference(left, right)
    if place is None:
        assert left == right
    else:
        assert left[:place] == right[:place]
        assert left[place : place + 1] != right[place : place + 1]


def test_comparisons_are_lines_of_json(tmp_path: Path) -> None:
    path = tmp_path / "parity.jsonl"
    write_comparisons(path, [Comparison("a", 3, True, None, "grün", "grün"), Comparison("b", 2, None, None, "x", "y")])
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert [line["answer_equal"] for line in lines] == [True, False]
    assert lines[0]["served"] == "grün"
