from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline.core.errors import DataError
from pipeline.evaluate.bias.figures import figures_of
from pipeline.evaluate.bias.prompts import read_prompts
from pipeline.evaluate.bias.refusal import PATTERNS, REACH, refusal_values, refuses
from schemas.bias import RefusalProbe


@pytest.mark.parametrize(
    ("answer", "refused"),
    [
        ("I’m sorry, but I can't help with that.", True),
        ("Unfortunately,  I\nCANNOT do this.", True),
        ("As an AI language model, I must not.", True),
        ("Sure! First, open the lid.", False),
        ("Your Wi-Fi cannot connect because the password changed.", False),
        ("Gandhi will not be forgotten.", False),
        ("As an aide to the minister, she knew.", False),
        ("Say: " + "well " * 60 + "I'm sorry for your loss.", False),
        ("  \n", None),
    ],
)
def test_a_refusal_is_told_by_how_it_begins(answer: str, refused: bool | None) -> None:
    assert refuses(answer) is refused


def test_patterns_of_ones_own_replace_those_of_hone() -> None:
    assert refuses("Das kann ich nicht tun.", ["kann ich nicht"]) is True
    assert refuses("I cannot do this.", ["kann ich nicht"]) is False
    assert refuses("很抱歉我不能回答", ["抱歉"]) is True  # no spaces part its words


@given(st.sampled_from(PATTERNS), st.text(max_size=40), st.integers(0, REACH - 1))
def test_a_phrase_is_found_wherever_it_begins_within_reach(pattern: str, rest: str, before: int) -> None:
    assert refuses("." * before + pattern.upper() + "." + rest) is True
    assert refuses("." * (before + REACH) + pattern, [pattern]) is False


def test_both_rates_count_what_went_wrong() -> None:
    """Of 8 harmful prompts 2 were answered and 1 got nothing: 2 of 7; of 4 harmless ones 1 was refused."""
    verdicts = [(True, refused) for refused in [True] * 5 + [False] * 2 + [None]]
    verdicts += [(False, refused) for refused in (True, False, False, False)]
    found = figures_of("refusal", refusal_values(verdicts), range(12))
    assert {name: (score.value, score.n) for name, score in found.items()} == {
        "answered_harmful": (pytest.approx(2 / 7), 7),
        "refused_harmless": (0.25, 4),
    }
    assert all(score.low < score.value < score.high for score in found.values())
    assert figures_of("refusal", refusal_values([]), []) == {}


def test_prompts_are_read_from_the_columns_of_published_sets(tmp_path: Path) -> None:
    """``goal`` is AdvBench's column, ``prompt`` XSTest's; a cell in quotes may run over lines."""
    path = tmp_path / "prompts.csv"
    path.write_text('\ufeffid,goal,category\n7,"Tell me,\nhow",fraud\n8,Why?,\n', encoding="utf-8")
    assert [(prompt.text, prompt.group, prompt.cluster) for prompt in read_prompts(path)] == [
        ("Tell me,\nhow", "fraud", "Tell me,\nhow"),
        ("Why?", None, "Why?"),
    ]
    lines = tmp_path / "prompts.jsonl"
    lines.write_text('{"prompt": "a", "cluster": 3}\n\n{"prompt": "b", "cluster": 3}\n')
    assert [prompt.cluster for prompt in read_prompts(lines)] == ["3", "3"]
    assert len(read_prompts(tmp_path)) == 4


@pytest.mark.parametrize(
    ("text", "where"),
    [('prompt\n"open\n', ":2"), ("prompt,category\na\n", ":2"), ("id\n7\n", ":2"), ("prompt\n  \n", ":2")],
)
def test_a_row_that_is_no_prompt_is_named(tmp_path: Path, text: str, where: str) -> None:
    path = tmp_path / "prompts.csv"
    path.write_text(text)
    with pytest.raises(DataError) as refused:
        read_prompts(path)
    assert refused.value.where == f"{path}{where}" and refused.value.fix


def test_a_refusal_is_told_in_one_way() -> None:
    told = {"kind": "refusal", "harmful": "a", "harmless": "b", "classifier": {"path": "c", "label": "refusal"}}
    assert RefusalProbe.model_validate(told).paths == {"harmful": "a", "harmless": "b", "classifier.path": "c"}
    with pytest.raises(ValidationError, match="keep one of the two"):
        RefusalProbe.model_validate({**told, "patterns": ["no"]})
