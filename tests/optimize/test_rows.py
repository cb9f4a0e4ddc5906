"""Rows for calibration and probes: the training render, drawn by seed."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.core.errors import DataError
from pipeline.core.examples import write_examples
from pipeline.optimize.rows import PROBES, calibration_rows, probe_prompts
from pipeline.render import render_conversation, render_prompt
from schemas.artifacts import Stored
from schemas.data import DataArtifact, Example, Message
from schemas.render import RenderOptions
from tests.support.tiny_model import tiny_tokenizer
from tests.support.training import conversation, data_artifact, text_row
from tests.support.variants import split_data

OPTIONS = RenderOptions()


def _draw(data: Stored[DataArtifact], **changes: int) -> list[list[int]]:
    settings = {"count": 5, "max_length": 256, "seed": 0, **changes}
    return calibration_rows(data, tiny_tokenizer(), OPTIONS, **settings)


def test_rows_are_rendered_as_for_training(tmp_path: Path) -> None:
    data = split_data(tmp_path, train=6)
    expected = [
        render_conversation(conversation(number).messages, tiny_tokenizer(), OPTIONS).ids for number in range(6)
    ]
    drawn = _draw(data, count=6)
    assert sorted(drawn) == sorted(expected)


def test_the_seed_decides_the_draw(tmp_path: Path) -> None:
    data = split_data(tmp_path)
    assert _draw(data) == _draw(data)
    assert _draw(data) != _draw(data, seed=1)
    assert len(_draw(data, count=1000)) == 24


def test_long_rows_are_cut(tmp_path: Path) -> None:
    data = split_data(tmp_path)
    full = _draw(data)
    assert _draw(data, max_length=4) == [row[:4] for row in full]


def test_texts_and_preferences_have_rows_too(tmp_path: Path) -> None:
    texts = data_artifact(tmp_path / "text", [text_row(number) for number in range(3)], kind="text")
    end = tiny_tokenizer().eos_token_id
    assert all(row[-1] == end for row in _draw(texts))
    prompt, answer = conversation(0).prompt, conversation(0).messages[-1]
    pair = Example(
        id="p", row=1, messages=prompt, chosen=(answer,), rejected=(Message(role="assistant", content="no"),), cluster=0
    )
    pairs = data_artifact(tmp_path / "pairs", [pair], kind="preference")
    assert _draw(pairs) == [render_conversation(conversation(0).messages, tiny_tokenizer(), OPTIONS).ids]


def test_probes_are_the_first_test_prompts(tmp_path: Path) -> None:
    data = split_data(tmp_path)
    probes = probe_prompts(data, tiny_tokenizer(), OPTIONS, max_length=256)
    assert len(probes) == PROBES
    assert probes[0] == render_prompt(conversation(1000).prompt, tiny_tokenizer(), OPTIONS)


def test_probes_come_from_training_where_there_is_no_test_split(tmp_path: Path) -> None:
    data = data_artifact(tmp_path, [conversation(3)])
    probes = probe_prompts(data, tiny_tokenizer(), OPTIONS, max_length=256)
    assert probes == [render_prompt(conversation(3).prompt, tiny_tokenizer(), OPTIONS)]


def test_no_rows_are_an_error(tmp_path: Path) -> None:
    data = split_data(tmp_path)
    write_examples(data.file("train.jsonl"), [])
    with pytest.raises(DataError, match="no training rows"):
        _draw(data)
    empty = data_artifact(tmp_path / "empty", [])
    with pytest.raises(DataError, match="no split has a row"):
        probe_prompts(empty, tiny_tokenizer(), OPTIONS, max_length=256)
