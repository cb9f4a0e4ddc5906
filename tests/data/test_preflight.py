"""The preflight inside the data stage: tokens and masks of every split are checked before anything is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.core.errors import ModelError, RenderError
from schemas.base import Reference
from schemas.data import Example
from schemas.render import RenderConfig, RenderOptions
from tests.data.support import pairs, run_stage, sentence
from tests.support.tiny_model import tiny_tokenizer

pytestmark = pytest.mark.slow

WHOLE = {"test": 0.0, "validation": 0.0}


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    folder = tmp_path_factory.mktemp("tokenizer")
    tiny_tokenizer().save_pretrained(str(folder))
    return Reference(location=str(folder))


def long(index: int) -> dict[str, str]:
    return {"prompt": sentence(index, 26), "completion": "x"}


def tokens(example: Example) -> int:
    return len(tiny_tokenizer().apply_chat_template([turn.for_template() for turn in example.messages])["input_ids"])


def test_the_report_is_of_the_training_rows_and_changes_no_file(tmp_path: Path, tokenizer: Reference) -> None:
    plain = run_stage(tmp_path, pairs(30))
    checked = run_stage(tmp_path, tmp_path / "train.jsonl", render=RenderConfig(tokenizer=tokenizer))
    report = checked.artifact.preflight
    assert report is not None
    assert report.rows == report.kept == checked.artifact.rows["train"]
    assert report.tokens == sum(map(tokens, checked.examples("train")))
    for path in (*plain.artifact.files.values(), "card.md", "dropped.jsonl"):
        assert (plain.folder / path).read_bytes() == (checked.folder / path).read_bytes()


def test_long_rows_are_told_for_every_split(tmp_path: Path, tokenizer: Reference) -> None:
    rows = [*pairs(20), long(50)]
    render = RenderConfig(tokenizer=tokenizer, max_length=80)
    outcome = run_stage(tmp_path, rows, test=[long(51), *pairs(24)[21:]], render=render, split={"validation": 0.0})
    assert [warning for warning in outcome.warnings if "longer than" in warning] == [
        "1 rows of train are longer than 80 tokens: they are left out",
        "1 rows of test are longer than 80 tokens: they are asked all the same, whole",
    ]


def test_a_row_that_trains_nothing_is_refused_by_its_number(tmp_path: Path, tokenizer: Reference) -> None:
    chats: list[dict[str, Any]] = [
        {"messages": [{"role": "user", "content": row["prompt"]}, {"role": "assistant", "content": row["completion"]}]}
        for row in pairs(12)
    ]
    silent = {"role": "assistant", "content": "x", "weight": 0}
    chats.append({"messages": [{"role": "user", "content": sentence(50)}, silent]})
    with pytest.raises(RenderError, match=r"train: no token is trained \(row 13\)"):
        run_stage(tmp_path, chats, render=RenderConfig(tokenizer=tokenizer), split=WHOLE)


def test_rows_that_may_not_be_long_stop_the_run(tmp_path: Path, tokenizer: Reference) -> None:
    render = RenderConfig(tokenizer=tokenizer, max_length=8, options=RenderOptions(long_rows="stop"))
    with pytest.raises(RenderError, match="rows are longer than max_length 8"):
        run_stage(tmp_path, pairs(5), render=render, split=WHOLE)


def test_a_missing_tokenizer_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError):
        run_stage(tmp_path, pairs(12), render=RenderConfig(tokenizer=Reference(location=str(tmp_path / "none"))))
