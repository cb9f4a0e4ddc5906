"""Tools in the shape that a server gives them."""

from __future__ import annotations

import pytest

from pipeline.render.tools import served_tool


@pytest.mark.parametrize(
    ("given", "seen"),
    [
        (
            {"function": {"parameters": {"b": 1, "a": 2}, "name": "n"}, "type": "function"},
            {"type": "function", "function": {"name": "n", "description": None, "parameters": {"b": 1, "a": 2}}},
        ),
        (
            {"type": "function", "function": {"name": "n", "description": "d", "strict": True, "more": 1}, "x": 1},
            {"type": "function", "function": {"name": "n", "description": "d", "parameters": None, "strict": True}},
        ),
        (
            {"defer_loading": True, "type": "function", "function": {"name": "n", "strict": False}},
            {
                "type": "function",
                "function": {
                    "name": "n",
                    "description": None,
                    "parameters": None,
                    "strict": False,
                    "defer_loading": True,
                },
                "defer_loading": True,
            },
        ),
        (
            {"type": "function", "function": {"name": "n", "defer_loading": False}, "defer_loading": True},
            {
                "type": "function",
                "function": {"name": "n", "description": None, "parameters": None, "defer_loading": False},
                "defer_loading": True,
            },
        ),
        ({"name": "flat"}, {"name": "flat"}),
    ],
)
def test_keys_and_their_order_are_the_servers(given: dict[str, object], seen: dict[str, object]) -> None:
    found = served_tool(given)
    assert found == seen
    assert list(found) == list(seen)
    if isinstance(seen.get("function"), dict):
        assert list(found["function"]) == list(seen["function"])  # type: ignore[call-overload]
