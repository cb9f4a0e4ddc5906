"""What is read of a request and of an answer."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.monitor.rows import label_parts, last_input

JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        ({"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "one"}]}, "one"),
        (
            {
                "messages": [
                    {"role": "user", "content": "one"},
                    {"role": "assistant", "content": "a"},
                    {"role": "user", "content": "two"},
                ]
            },
            "two",
        ),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image_url"}]}]}, "a"),
        ({"messages": [{"role": "assistant", "content": "a"}]}, None),
        ({"messages": ["no turn"]}, None),
        ({"prompt": "go on"}, "go on"),
        ({"prompt": ["a", "b"]}, "a\nb"),
        ({"input": "embed me"}, "embed me"),
        ({}, None),
    ],
)
def test_the_last_user_turn_is_the_input(request_: dict[str, object], text: str | None) -> None:
    assert last_input(request_) == text


@given(st.dictionaries(st.sampled_from(["messages", "prompt", "input"]), JSON))
def test_any_request_is_read(request_: dict[str, object]) -> None:
    assert last_input(request_) is None or isinstance(last_input(request_), str)


@given(JSON)
def test_any_answer_has_labels(value: object) -> None:
    assert all(isinstance(part, str) for part in label_parts(json.dumps(value)))


def test_labels_are_words_or_the_plain_fields_of_a_record() -> None:
    assert label_parts("  card  arrival ") == {"card arrival"}
    assert label_parts('{"intent": "refund", "n": 2, "more": {"a": 1}}') == {'intent="refund"', "n=2"}
    assert label_parts("{broken") == {"{broken"}
