"""Tools as a server hands them to the chat template, so that training shows a model what it will be shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_ALWAYS = ("name", "description", "parameters")
_WHERE_SAID = ("strict", "defer_loading")


def served_tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    """Return a tool with the keys, and in the order, that a template sees when vLLM serves an OpenAI request.

    A description or parameters that are not there are null there, ``defer_loading`` of a tool is its function's too,
    and keys that OpenAI's shape does not have are gone;
    templates write tools as JSON, so that each key and its place are tokens. What is no function stays as it is: a
    server refuses it.
    """
    function = tool.get("function")
    if not isinstance(function, Mapping) or "name" not in function:
        return dict(tool)
    beside = {"defer_loading": tool["defer_loading"]} if tool.get("defer_loading") is not None else {}
    inside = {**beside, **{key: value for key, value in function.items() if value is not None}}
    said = {key: inside[key] for key in _WHERE_SAID if key in inside}
    return {
        "type": tool.get("type", "function"),
        "function": {**{key: function.get(key) for key in _ALWAYS}, **said},
        **beside,
    }
