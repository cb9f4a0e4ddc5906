from __future__ import annotations

import json
from typing import Any

import pytest

from pipeline.core.errors import ConfigError, DataError
from pipeline.data.columns import find_layout
from pipeline.data.formats import Formatter, kind_of
from pipeline.data.rows import Draft, SourceRow
from schemas.data import DataOptions, Message


def draft(row: dict[str, Any], like: dict[str, Any] | None = None, **options: Any) -> Draft:
    """Format ``row`` as a row of a source whose other rows are ``like`` it."""
    parsed = DataOptions.model_validate(options)
    layout = find_layout(parsed, [SourceRow(1, like or row)], "rows.jsonl")
    return Formatter(layout, parsed).draft(SourceRow(7, row), "train")


def said(row: Draft) -> list[tuple[str, str]]:
    return [(turn.role, turn.content) for turn in row.messages]


def test_prompt_and_completion() -> None:
    row = draft({"prompt": "2+2?", "completion": "4"})
    assert said(row) == [("user", "2+2?"), ("assistant", "4")]
    assert (row.source, row.row, row.prompt_text, row.answer_text) == ("train", 7, "2+2?", "4")


def test_prompt_and_completion_may_be_turns() -> None:
    turns = [{"role": "system", "content": "s"}, {"role": "user", "content": "a"}]
    row = draft({"prompt": turns, "completion": [{"role": "assistant", "content": "b"}]})
    assert said(row) == [("system", "s"), ("user", "a"), ("assistant", "b")]


def test_templates_make_prompt_and_answer() -> None:
    row = draft(
        {"title": "T", "body": "B", "verdict": "yes"},
        prompt_template="Title: {{ title }}\n{{ body }}",
        completion_template="Verdict: {{ verdict }}",
    )
    assert said(row) == [("user", "Title: T\nB"), ("assistant", "Verdict: yes")]
    assert row.prompt_text == "T\nB"  # the template's own words do not make rows alike


def test_label() -> None:
    row = draft({"text": "where is my card", "category": "card_arrival"})
    assert said(row) == [("user", "where is my card"), ("assistant", "card_arrival")]
    assert row.label == "card_arrival"


@pytest.mark.parametrize(("value", "label"), [(3, "3"), (True, "true"), ("yes", "yes")])
def test_labels_may_be_numbers(value: Any, label: str) -> None:
    assert draft({"text": "a", "label": value}).label == label


def test_label_through_templates() -> None:
    options: dict[str, Any] = {
        "prompt_template": "Classify: {{ text }}",
        "completion_template": '{"intent": "{{ label }}"}',
    }
    row = draft({"text": "a", "label": "b"}, columns={"label": "label", "text": "text"}, format="label", **options)
    assert said(row) == [("user", "Classify: a"), ("assistant", '{"intent": "b"}')]
    assert row.label == "b"


def test_alpaca_joins_instruction_and_input() -> None:
    like = {"instruction": "Add", "input": "1 2", "output": "3"}
    assert said(draft(like)) == [("user", "Add\n\n1 2"), ("assistant", "3")]
    assert said(draft({**like, "input": ""}, like)) == [("user", "Add"), ("assistant", "3")]


def test_alpaca_with_system_and_history() -> None:
    like = {
        "instruction": "Add", "input": "1 2", "response": "3", "system": "be brief", "history": [["hi", "hello"]],
    }  # fmt: skip
    turns = [("user", "hi"), ("assistant", "hello"), ("user", "Add\n\n1 2"), ("assistant", "3")]
    assert said(draft(like)) == [("system", "be brief"), *turns]
    assert said(draft({**like, "system": " ", "history": json.dumps(like["history"])}, like)) == turns
    assert said(draft({**like, "history": None}, like, system="in all rows"))[0] == ("system", "be brief")
    assert said(draft({**like, "system": ""}, like, system="in all rows"))[0] == ("system", "in all rows")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"history": "hi"}, "column 'history' is a text that is not JSON"),
        ({"history": {"a": 1}}, "column 'history' is an object, not a list of question and answer pairs"),
        ({"history": [["hi", "hello"], ["hi"]]}, "item 2 of column 'history' is no pair of question and answer"),
        ({"history": [["hi", " "]]}, "item 1 of column 'history' has an empty question or answer"),
        ({"system": 3}, "column 'system' is a number, not a string"),
    ],
)
def test_a_bad_history_or_system_turn_has_a_reason(change: dict[str, Any], reason: str) -> None:
    like = {"instruction": "a", "output": "b", "system": "c", "history": []}
    with pytest.raises(ValueError, match=reason):
        draft({**like, **change}, like)


def test_the_context_of_dolly_is_asked() -> None:
    row = draft({"instruction": "Who?", "context": "Ada wrote it.", "response": "Ada", "category": "qa"})
    assert said(row) == [("user", "Who?\n\nAda wrote it."), ("assistant", "Ada")]


def test_a_system_column_opens_turns_that_have_none() -> None:
    shared = [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]
    assert said(draft({"conversations": shared, "system": "s"}))[0] == ("system", "s")
    own = [{"from": "system", "value": "s"}, *shared]
    assert said(draft({"conversations": own, "system": "s"})) == [("system", "s"), ("user", "a"), ("assistant", "b")]
    with pytest.raises(ValueError, match="column 'system' and turn 1 are two different system turns"):
        draft({"conversations": own, "system": "other"})


def test_nulls_are_taken_out_of_the_rows_of_tables_alone() -> None:
    call = {"type": "function", "function": {"name": "f", "arguments": {"city": None, "day": "today"}}}
    turns = [
        {"role": "user", "content": "a", "tool_calls": None},
        {"role": "assistant", "content": None, "tool_calls": [call]},
    ]
    values = {"messages": turns, "tools": [{"name": "f", "default": None}]}
    options = DataOptions()
    form = Formatter(find_layout(options, [SourceRow(1, values)], "rows"), options)
    row = form.draft(SourceRow(1, values), "train")
    assert row.messages[1].tool_calls == (call,)
    assert row.tools == ({"name": "f", "default": None},)
    table = form.draft(SourceRow(1, values, from_table=True), "train")
    assert table.messages[1].tool_calls == (
        {"type": "function", "function": {"name": "f", "arguments": {"day": "today"}}},
    )
    assert table.tools == ({"name": "f"},)


def test_messages_with_tools() -> None:
    row = draft(
        {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}], "tools": [{"n": 1}]}
    )
    assert row.tools == ({"n": 1},)


def test_preference_of_texts() -> None:
    row = draft({"prompt": "a", "chosen": "b", "rejected": "c"})
    assert row.messages == (Message(role="user", content="a"),)
    assert (row.chosen, row.rejected) == (
        (Message(role="assistant", content="b"),),
        (Message(role="assistant", content="c"),),
    )
    assert row.prompt_text == "a"


def test_preference_of_whole_conversations() -> None:
    start = [{"role": "user", "content": "a"}]
    good, bad = [{"role": "assistant", "content": "b"}], [{"role": "assistant", "content": "c"}]
    with_prompt = draft({"prompt": start, "chosen": start + good, "rejected": start + bad})
    without = draft({"chosen": start + good, "rejected": start + bad})
    assert with_prompt == without
    assert said(without) == [("user", "a")]


def test_preference_in_openais_shape() -> None:
    asked = {"messages": [{"role": "user", "content": "a"}], "tools": [{"n": 1}], "parallel_tool_calls": True}
    values = {
        "input": asked,
        "preferred_output": [{"role": "assistant", "content": "b"}],
        "non_preferred_output": [{"role": "assistant", "content": "c"}],
    }
    row = draft(values)
    assert row == draft({"prompt": asked["messages"], "chosen": "b", "rejected": "c", "tools": [{"n": 1}]})
    layout = find_layout(DataOptions(), [SourceRow(1, values)], "rows.jsonl")
    formatter = Formatter(layout, DataOptions())
    formatter.draft(SourceRow(1, values), "train")
    assert dict(formatter.unread_keys) == {"parallel_tool_calls": 1}
    with pytest.raises(ValueError, match=r"input\.tools"):
        draft({**values, "input": {**asked, "tools": 3}}, like=values)


def test_text() -> None:
    row = draft({"text": "once upon a time"})
    assert (row.text, row.messages, row.answer_text) == ("once upon a time", (), "")


def test_kinds() -> None:
    assert [kind_of(name) for name in ("label", "preference", "text")] == ["conversation", "preference", "text"]


def test_system_opens_a_conversation_that_has_none() -> None:
    options = DataOptions(system="be brief")
    rows = [
        {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]},
        {
            "messages": [
                {"role": "system", "content": "own"},
                {"role": "user", "content": "a"},
                {"role": "assistant", "content": "b"},
            ]
        },
    ]
    form = Formatter(find_layout(options, [SourceRow(1, rows[0])], "rows.jsonl"), options)
    drafts = [form.draft(SourceRow(1, row), "train") for row in rows]
    assert [row.messages[0].content for row in drafts] == ["be brief", "own"]
    assert form.own_system == 1
    assert drafts[0].prompt_text == "a"  # a system turn, the same in all rows, does not make them alike


PC = {"prompt": "a", "completion": "b"}
LABEL = {"text": "a", "label": "b"}
PAIR = {"prompt": "a", "chosen": "b", "rejected": "c"}


@pytest.mark.parametrize(
    ("like", "row", "reason"),
    [
        (PC, {"prompt": "a"}, "column 'completion' is missing"),
        (PC, {"prompt": None, "completion": "b"}, "column 'prompt' is null"),
        (PC, {"prompt": "a", "completion": ""}, "column 'completion' is empty"),
        (PC, {"prompt": "a", "completion": "\u200b"}, "column 'completion' is empty"),
        (PC, {"prompt": " ", "completion": "b"}, "column 'prompt' is empty"),
        (PC, {"prompt": "a", "completion": 3}, "column 'completion' is a number, not a string"),
        (PC, {"prompt": "a", "completion": {"x": 1}}, "column 'completion' is an object, not a string"),
        (PC, {"prompt": "a", "completion": [{"role": "user", "content": "x"}]}, "the last turn is the user's"),
        (PC, {"prompt": [{"role": "assistant", "content": "x"}], "completion": "b"}, "no user turn"),
        (LABEL, {"text": "a", "label": 1.5}, "column 'label' is a number, not a label"),
        (LABEL, {"text": "a", "label": ""}, "column 'label' is empty"),
        (PAIR, {"prompt": "a", "chosen": "b", "rejected": "b"}, "chosen and rejected are the same"),
        (
            PAIR,
            {"prompt": "a", "chosen": "b", "rejected": [{"role": "user", "content": "c"}]},
            "rejected: the last turn",
        ),
        ({"text": "a"}, {"text": 3}, "column 'text' is a number, not a string"),
        (
            {"instruction": "a", "input": "b", "output": "c"},
            {"instruction": "a", "input": 3, "output": "c"},
            "column 'input' is a number, not a string",
        ),
    ],
)
def test_a_bad_row_has_a_reason(like: dict[str, Any], row: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        draft(row, like)


def test_a_label_that_is_not_declared_is_bad() -> None:
    with pytest.raises(ValueError, match="'card_arival' is no declared label; the nearest is 'card_arrival'"):
        draft({"text": "a", "label": "card_arival"}, labels=["card_arrival", "other"])
    with pytest.raises(ValueError, match="'maybe' is no declared label"):
        draft({"prompt": "a", "completion": "maybe"}, labels=["yes", "no"])
    assert draft({"prompt": "a", "completion": "yes"}, labels=["yes", "no"]).label == "yes"
    chat = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "yes"}]
    shared = [{"from": "human", "value": "a"}, {"from": "gpt", "value": "yes"}]
    for row in ({"messages": chat}, {"conversations": shared}):
        assert draft(row, labels=["yes", "no"]).label == "yes"
        with pytest.raises(ValueError, match="'yes' is no declared label"):
            draft(row, labels=["no"])


def test_an_empty_result_of_a_template_is_bad() -> None:
    with pytest.raises(ValueError, match="the prompt is empty"):
        draft({"title": " ", "answer": "b"}, prompt_template="{{ title }}")


def test_a_template_over_a_missing_column_is_bad() -> None:
    with pytest.raises(ValueError, match="'title' is undefined"):
        draft({"answer": "b"}, {"title": "a", "answer": "b"}, prompt_template="{{ title }}")


def test_a_template_over_an_unknown_column_is_a_config_error() -> None:
    with pytest.raises(
        ConfigError, match=r"data.completion_template: the template names 'anser'.*did you mean 'answer'"
    ):
        draft({"title": "a", "answer": "b"}, prompt_template="{{ title }}", completion_template="{{ anser }}")


def test_a_group_is_kept_as_text() -> None:
    row = draft({**PC, "group": 3}, split={"by": "group"})
    assert row.group == "3"
    with pytest.raises(ValueError, match="column 'group' is null"):
        draft({**PC, "group": None}, {**PC, "group": 1}, split={"by": "group"})


@pytest.mark.parametrize(("value", "good"), [(True, True), (False, False), (1, True), (0, False), ("False", False)])
def test_an_answer_and_the_verdict_on_it(value: Any, good: bool) -> None:
    row = draft({"prompt": "2+2?", "completion": "5", "label": value}, format="unpaired")
    assert said(row) == [("user", "2+2?"), ("assistant", "5")]
    assert (row.desirable, row.label) == (good, None)
    assert kind_of("unpaired") == "unpaired"


@pytest.mark.parametrize("value", ["maybe", 2, 1.0, None, ["true"]])
def test_a_verdict_that_is_none_makes_a_bad_row(value: Any) -> None:
    with pytest.raises(ValueError, match="column 'label' is"):
        draft({"prompt": "2+2?", "completion": "5", "label": value}, format="unpaired")


def test_an_unpaired_row_may_be_turns_and_needs_its_verdict() -> None:
    turns = {"prompt": [{"role": "user", "content": "a"}], "completion": [{"role": "assistant", "content": "b"}]}
    row = draft({**turns, "good": False}, format="unpaired", columns={"label": "good"})
    assert said(row) == [("user", "a"), ("assistant", "b")] and row.desirable is False
    with pytest.raises(DataError, match="format unpaired needs a label column"):
        draft({"prompt": "a", "completion": "b"}, format="unpaired")
