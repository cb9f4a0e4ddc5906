"""Turns of a conversation, in OpenAI's and in ShareGPT's shape, checked as one conversation."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Literal

from pipeline.data.read_text import json_type
from pipeline.data.rows import RowFault
from pipeline.data.text import is_blank
from schemas.data import Message

Role = Literal["system", "user", "assistant", "tool"]

_OPENAI_ROLES: Final[dict[str, Role]] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
}
_SHAREGPT_ROLES: Final[dict[str, Role]] = {
    "system": "system",
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "chatgpt": "assistant",
    "model": "assistant",
    "tool": "tool",
    "observation": "tool",
    "function_response": "tool",
    "function_call": "assistant",
}
_MESSAGE_KEYS = {"role", "content", "weight", "name", "tool_calls", "tool_call_id", "reasoning_content"}
_SHAREGPT_KEYS = {"from", "value", "weight"}


def parse_messages(value: object, column: str, unread: Counter[str]) -> tuple[Message, ...]:
    """Return the turns of a list in OpenAI's shape (or the same as JSON text); count keys that nothing reads.

    Raises:
        ValueError: it is no such list; the message says what is wrong with which turn.
    """
    turns = _turns(value, column)
    unread.update(_extra_keys(turns, _MESSAGE_KEYS))
    return tuple(_openai_turn(turn, index) for index, turn in enumerate(turns, start=1))


def parse_sharegpt(value: object, column: str, unread: Counter[str]) -> tuple[Message, ...]:
    """Return the turns of a list of ``{"from": ..., "value": ...}``; count keys that nothing reads.

    Raises:
        ValueError: it is no such list; the message says what is wrong with which turn.
    """
    turns = _turns(value, column)
    unread.update(_extra_keys(turns, _SHAREGPT_KEYS))
    return tuple(_sharegpt_turn(turn, index) for index, turn in enumerate(turns, start=1))


def check_conversation(messages: Sequence[Message]) -> None:
    """Check that the turns form a conversation that ends with an answer.

    Raises:
        ValueError: no answer, an empty one, no user turn, or a system turn after the first.
    """
    last = messages[-1]
    if last.role != "assistant":
        raise ValueError(f"the last turn is the {last.role}'s, not an answer of the assistant")
    if is_blank(last.content) and not last.tool_calls:
        raise RowFault("empty_answer", "the answer is empty")
    check_prompt(messages[:-1])


def check_prompt(messages: Sequence[Message]) -> None:
    """Check the turns before an answer.

    Raises:
        ValueError: no user turn, an empty one, or a system turn after the first.
    """
    if not any(message.role == "user" for message in messages):
        raise ValueError("no user turn stands before the answer")
    for index, message in enumerate(messages, start=1):
        if message.role == "system" and index > 1:
            raise ValueError(f"turn {index} is a system turn; only the first may be")
        if message.role == "user" and is_blank(message.content):
            raise ValueError(f"turn {index}, the user's, is empty")
        if message.role == "assistant" and is_blank(message.content) and not message.tool_calls:
            raise RowFault("empty_answer", f"turn {index}, the assistant's, is empty")


def parse_tools(value: object, column: str) -> tuple[dict[str, Any], ...] | None:
    """Return a row's tools: a list of objects, or the same as JSON text; None where there are none.

    Raises:
        ValueError: it is something else.
    """
    if value is None or value == "":
        return None
    tools = from_json(value, column)
    if not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in tools):
        raise ValueError(f"column {column!r} is {json_type(tools)}, not a list of tools")
    return tuple(tools) or None


def without_nulls(value: Any) -> Any:
    """Return ``value`` without the null members that tables add to objects of unlike shape."""
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, (list, tuple)):
        return [without_nulls(item) for item in value]
    return value


def from_json(value: object, column: str) -> Any:
    """Return what a JSON text holds; another value as it is.

    Raises:
        ValueError: the text is not JSON.
    """
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        raise ValueError(f"column {column!r} is a text that is not JSON") from None


def _turns(value: object, column: str) -> list[Mapping[str, Any]]:
    turns = from_json(value, column)
    if not isinstance(turns, (list, tuple)):
        raise ValueError(f"column {column!r} is {json_type(turns)}, not a list of turns")
    if not turns:
        raise ValueError(f"column {column!r} has no turns")
    for index, turn in enumerate(turns, start=1):
        if not isinstance(turn, Mapping):
            raise ValueError(f"turn {index} is {json_type(turn)}, not an object")
    return list(turns)


def _openai_turn(turn: Mapping[str, Any], index: int) -> Message:
    role = _role(turn.get("role"), _OPENAI_ROLES, index, "role")
    calls = turn.get("tool_calls") or None
    if calls is not None and not (isinstance(calls, list) and all(isinstance(call, dict) for call in calls)):
        raise ValueError(f"turn {index} has tool_calls that are not a list of objects")
    if calls and role != "assistant":
        raise ValueError(f"turn {index} has tool calls, which only the assistant makes")
    content = turn.get("content")
    return Message(
        role=role,
        content="" if content is None and calls else _content(content, index),
        weight=_weight(turn.get("weight"), role, index),
        name=_text_or_none(turn, "name", index),
        tool_calls=tuple(calls) if calls else None,
        tool_call_id=_text_or_none(turn, "tool_call_id", index),
        reasoning_content=_text_or_none(turn, "reasoning_content", index),
    )


def _sharegpt_turn(turn: Mapping[str, Any], index: int) -> Message:
    sender = turn.get("from")
    role = _role(sender, _SHAREGPT_ROLES, index, "from")
    content = _content(turn.get("value"), index)
    weight = _weight(turn.get("weight"), role, index)
    if sender != "function_call":
        return Message(role=role, content=content, weight=weight)
    call = from_json(content, "value")
    if not isinstance(call, dict) or not isinstance(call.get("name"), str):
        raise ValueError(f"turn {index} is a function call without a name")
    arguments = call.get("arguments", {})
    text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    return Message(
        role=role,
        weight=weight,
        tool_calls=({"type": "function", "function": {"name": call["name"], "arguments": text}},),
    )


def _extra_keys(turns: Sequence[Mapping[str, Any]], known: set[str]) -> Iterator[str]:
    for turn in turns:
        yield from (str(key) for key, value in turn.items() if key not in known and value not in (None, "", [], {}))


def _role(value: object, roles: Mapping[str, Role], index: int, key: str) -> Role:
    if not isinstance(value, str):
        raise ValueError(f"turn {index} has no {key!r}")
    if value not in roles:
        raise ValueError(f"turn {index} has the unknown role {value!r} (known: {', '.join(roles)})")
    return roles[value]


def _content(value: object, index: int) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, (list, tuple)) and all(isinstance(part, Mapping) for part in value):
        for part in value:
            if part.get("type") != "text" or not isinstance(part.get("text"), str):
                raise ValueError(f"turn {index} has content of type {part.get('type')!r}; only text is read")
        return "".join(part["text"] for part in value)
    raise ValueError(f"the content of turn {index} is {json_type(value)}, not a string")


def _weight(value: object, role: Role, index: int) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or value not in (0, 1):
        raise ValueError(f"the weight of turn {index} is {value!r}, not 0 or 1")
    if role != "assistant":
        raise ValueError(f"turn {index} is the {role}'s and has a weight; only the assistant's turns are trained")
    return float(bool(value))


def _text_or_none(turn: Mapping[str, Any], key: str, index: int) -> str | None:
    value = turn.get(key)
    if value is None or isinstance(value, str):
        return value
    raise ValueError(f"{key!r} of turn {index} is {json_type(value)}, not a string")
