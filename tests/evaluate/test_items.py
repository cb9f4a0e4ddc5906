from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.core.errors import ConfigError, DataError
from pipeline.evaluate.items import as_item, load_items
from schemas.data import Example, Message
from tests.evaluate.support import data_artifact, example, labeled_rows


def test_items_are_the_split_in_its_order_or_its_first(tmp_path: Path) -> None:
    rows = labeled_rows()
    data = data_artifact(tmp_path, test=rows)
    assert [item.id for item in load_items(data, "test")] == [row.id for row in rows]
    assert [item.id for item in load_items(data, "test", max_items=5)] == [row.id for row in rows[:5]]


def test_an_item_is_the_prompt_without_the_answer() -> None:
    messages = (
        Message(role="system", content="be brief"),
        Message(role="user", content="hello"),
        Message(role="assistant", content="hi"),
    )
    item = as_item(Example(id="a", row=7, messages=messages, cluster=3, near_train=True))

    assert (item.prompt, item.reference, item.row, item.cluster, item.near_train) == (messages[:2], "hi", 7, 3, True)
    assert item.text == "system: be brief\nuser: hello"
    assert as_item(example(0, "just this", "x")).text == "just this"


def test_the_reference_of_a_preference_is_the_chosen_answer() -> None:
    preference = Example(
        id="p",
        row=1,
        messages=(Message(role="user", content="hello"),),
        chosen=(Message(role="assistant", content="good"),),
        rejected=(Message(role="assistant", content="bad"),),
        cluster=0,
    )
    item = as_item(preference)
    assert (item.text, item.reference) == ("hello", "good")


def test_rows_that_cannot_be_asked_or_scored_are_named(tmp_path: Path) -> None:
    rows = [*labeled_rows(), example(40, "question", " ")]
    with pytest.raises(DataError, match=r"test.jsonl, source row 41: 1 rows have no answer to compare with"):
        load_items(data_artifact(tmp_path / "answer", test=rows), "test")

    mute = Example(id="m", row=9, messages=(Message(role="assistant", content="x"),), cluster=0)
    with pytest.raises(DataError, match=r"source row 9: 1 rows have no prompt"):
        load_items(data_artifact(tmp_path / "prompt", test=[mute]), "test")


def test_answers_of_tool_calls_alone_are_named_and_said_not_to_be_scored_yet(tmp_path: Path) -> None:
    call = {"type": "function", "function": {"name": "look", "arguments": "{}"}}
    question = Message(role="user", content="where is it")
    calls = Message(role="assistant", tool_calls=(call,))
    spoken = Message(role="assistant", content="I look.", tool_calls=(call,))
    rows = [example(4, "", "", messages=(question, calls)), example(5, "", "", messages=(question, spoken))]
    assert [(item.reference, item.calls_only) for item in map(as_item, rows)] == [("", True), ("I look.", False)]
    with pytest.raises(
        DataError,
        match=r"source row 5: 1 rows have an answer of tool calls alone, and tool-call answers cannot be scored",
    ):
        load_items(data_artifact(tmp_path, test=[*labeled_rows(), *rows]), "test")


def test_an_empty_split_and_plain_text_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the test split has no rows"):
        load_items(data_artifact(tmp_path / "empty"), "test")
    with pytest.raises(DataError, match="the validation split has no rows"):
        load_items(data_artifact(tmp_path / "none", test=labeled_rows()), "validation")
    text = [Example(id="t", row=1, text="once upon a time", cluster=0)]
    with pytest.raises(ConfigError, match="plain text has no question"):
        load_items(data_artifact(tmp_path / "text", test=text, kind="text"), "test")


def test_an_answer_that_is_not_desirable_tells_nothing_that_is_right(tmp_path: Path) -> None:
    rows = [example(n, f"question {n}", "x").model_copy(update={"desirable": n % 3 == 0}) for n in range(9)]
    data = data_artifact(tmp_path / "data", test=rows, kind="unpaired")
    assert [item.row for item in load_items(data, "test")] == [1, 4, 7]
    bad = data_artifact(tmp_path / "bad", test=rows[1:3], kind="unpaired")
    with pytest.raises(DataError, match="none of 2 rows has a desirable answer"):
        load_items(bad, "test")
