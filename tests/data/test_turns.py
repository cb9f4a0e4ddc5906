from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from pipeline.data.turns import check_conversation, parse_messages, parse_sharegpt, parse_tools
from schemas.data import Message

CALL = {"id": "1", "type": "function", "function": {"name": "look", "arguments": "{}"}}


def openai(*turns: Any) -> tuple[Message, ...]:
    return parse_messages(list(turns), "messages", Counter())


def user(content: Any = "hi", **more: Any) -> dict[str, Any]:
    return {"role": "user", "content": content, **more}


def assistant(content: Any = "yes", **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content, **more}


def test_openai_turns_keep_everything_that_is_read() -> None:
    turns = openai(
        {"role": "developer", "content": "be brief"},
        user([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], name="Ada"),
        assistant(None, tool_calls=[CALL], weight=0),
        {"role": "tool", "content": "42", "tool_call_id": "1"},
        assistant("42", reasoning_content="looked", weight=1),
    )
    assert turns == (
        Message(role="system", content="be brief"),
        Message(role="user", content="ab", name="Ada"),
        Message(role="assistant", tool_calls=(CALL,), weight=0.0),
        Message(role="tool", content="42", tool_call_id="1"),
        Message(role="assistant", content="42", reasoning_content="looked", weight=1.0),
    )
    check_conversation(turns)


def test_turns_may_be_json_text() -> None:
    assert parse_messages('[{"role": "user", "content": "a"}]', "m", Counter()) == (Message(role="user", content="a"),)


def test_sharegpt_turns_become_the_same_messages() -> None:
    unread: Counter[str] = Counter()
    turns = parse_sharegpt(
        [
            {"from": "system", "value": "be brief"},
            {"from": "human", "value": "how many?", "id": 7},
            {"from": "function_call", "value": '{"name": "count", "arguments": {"of": "é"}}'},
            {"from": "observation", "value": "3"},
            {"from": "gpt", "value": "3", "weight": 1},
        ],
        "conversations",
        unread,
    )
    call = {"type": "function", "function": {"name": "count", "arguments": '{"of": "é"}'}}
    assert turns == (
        Message(role="system", content="be brief"),
        Message(role="user", content="how many?"),
        Message(role="assistant", tool_calls=(call,)),
        Message(role="tool", content="3"),
        Message(role="assistant", content="3", weight=1.0),
    )
    assert unread == {"id": 1}


def test_keys_that_nothing_reads_are_counted_where_they_hold_something() -> None:
    unread: Counter[str] = Counter()
    parse_messages([user(refusal=None, annotations=[], audio="x"), assistant(audio="y")], "m", unread)
    assert unread == {"audio": 2}


@pytest.mark.parametrize(
    ("turn", "reason"),
    [
        ({"content": "a"}, "turn 1 has no 'role'"),
        ({"role": "usr", "content": "a"}, "turn 1 has the unknown role 'usr'"),
        ({"role": "user"}, "the content of turn 1 is null, not a string"),
        (user(3), "the content of turn 1 is a number, not a string"),
        (user([{"type": "image_url"}]), "turn 1 has content of type 'image_url'; only text is read"),
        (user(weight=1), "turn 1 is the user's and has a weight"),
        (assistant(weight=0.5), "the weight of turn 1 is 0.5, not 0 or 1"),
        (assistant(weight=True), "the weight of turn 1 is True"),
        (user(tool_calls=[CALL]), "turn 1 has tool calls, which only the assistant makes"),
        (assistant(tool_calls=["x"]), "turn 1 has tool_calls that are not a list of objects"),
        (user(name=3), "'name' of turn 1 is a number, not a string"),
        ("hi", "turn 1 is a string, not an object"),
    ],
)
def test_a_bad_turn_is_named(turn: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason.replace("(", r"\(")):
        openai(turn)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ([], "column 'm' has no turns"),
        ({"role": "user"}, "column 'm' is an object, not a list of turns"),
        ("hello", "column 'm' is a text that is not JSON"),
    ],
)
def test_what_is_no_list_of_turns_is_named(value: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_messages(value, "m", Counter())


@pytest.mark.parametrize(
    ("turns", "reason"),
    [
        ([user()], "the last turn is the user's, not an answer of the assistant"),
        ([user(), assistant("")], "the answer is empty"),
        ([user(), assistant(" \n")], "the answer is empty"),
        ([user(), assistant("\u200b\ufeff \u2060")], "the answer is empty"),
        ([assistant()], "no user turn stands before the answer"),
        ([user(" "), assistant()], "turn 1, the user's, is empty"),
        ([user(), {"role": "system", "content": "x"}, assistant()], "turn 2 is a system turn; only the first may be"),
        ([user(), assistant(""), user(), assistant()], "turn 2, the assistant's, is empty"),
    ],
)
def test_turns_that_are_no_conversation_are_refused(turns: list[Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        check_conversation(openai(*turns))


def test_an_answer_may_be_a_tool_call() -> None:
    check_conversation(openai(user(), assistant(None, tool_calls=[CALL])))


def test_tools_are_a_list_of_objects() -> None:
    tool = {"type": "function", "function": {"name": "look", "parameters": None}}
    assert parse_tools([tool], "tools") == (tool,)
    assert parse_tools('[{"type": "function", "function": {"name": "look", "parameters": null}}]', "tools") == (tool,)
    assert parse_tools(None, "tools") is parse_tools("", "tools") is parse_tools([], "tools") is None
    with pytest.raises(ValueError, match="column 'tools' is a number, not a list of tools"):
        parse_tools(3, "tools")
    with pytest.raises(ValueError, match="column 'tools' is a text that is not JSON"):
        parse_tools("look", "tools")
