from __future__ import annotations

import json

import pytest

from pipeline.core.json_text import MAX_DEPTH, read_json


def test_a_value_is_read_with_white_space_around_it() -> None:
    assert read_json(' {"a": [1, 2.5, null, true, "é"]}\n') == {"a": [1, 2.5, None, True, "é"]}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"a": 1, "b": 2, "a": 1}', "key 'a' stands twice in one object"),
        ('{"a": [1e400]}', "1e400 is too large a number"),
        ("-1e999", "-1e999 is too large a number"),
        ('[{"a": {"b": 1, "b": 1}}]', "key 'b' stands twice in one object"),
        ("[NaN]", "NaN is not a JSON value"),
        ("-Infinity", "-Infinity is not a JSON value"),
        ("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1), "nested more than 100 levels deep"),
        ("[" * 200_000, "nested too deeply"),
    ],
)
def test_what_a_reader_would_have_to_guess_is_refused(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        read_json(text)


def test_the_deepest_value_that_is_read() -> None:
    text = "[" * MAX_DEPTH + "]" * MAX_DEPTH
    assert read_json(text) == json.loads(text)


def test_broken_json_says_where() -> None:
    with pytest.raises(json.JSONDecodeError, match="line 1 column 5"):
        read_json('{"a"}')
