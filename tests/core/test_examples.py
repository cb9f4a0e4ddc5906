from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.errors import IntegrityError
from pipeline.core.examples import example_line, read_examples, write_examples
from schemas.data import Example, Message

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
MESSAGES = st.lists(
    st.builds(
        Message,
        role=st.sampled_from(["system", "user", "assistant", "tool"]),
        content=TEXT,
        weight=st.sampled_from([None, 0.0, 1.0]),
        name=st.none() | TEXT,
        tool_calls=st.none() | st.just(({"type": "function", "function": {"name": "f", "arguments": "{}"}},)),
    )
).map(tuple)
EXAMPLES = st.builds(
    Example,
    id=st.text("0123456789abcdef-", min_size=1),
    row=st.integers(1, 10**9),
    messages=MESSAGES,
    chosen=MESSAGES,
    rejected=MESSAGES,
    text=st.none() | TEXT,
    label=st.none() | TEXT,
    cluster=st.integers(0, 10**6),
    near_train=st.booleans(),
)


@settings(max_examples=40)
@given(st.lists(EXAMPLES, max_size=3))
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, examples: list[Example]) -> None:
    path = tmp_path_factory.getbasetemp() / "examples.jsonl"
    write_examples(path, examples)
    assert read_examples(path) == examples


def test_a_line_leaves_out_what_has_no_value() -> None:
    example = Example(id="a-1", row=3, messages=(Message(role="user", content="é"),), cluster=0)
    line = '{"id":"a-1","row":3,"messages":[{"role":"user","content":"é"}],"cluster":0,"near_train":false}\n'
    assert example_line(example) == line


def test_only_the_first_are_read(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    write_examples(path, [Example(id=f"{index}-1", row=index, text="x", cluster=index) for index in range(5)])
    assert [example.row for example in read_examples(path, limit=2)] == [0, 1]


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    write_examples(path, [Example(id="a-1", row=1, text="x", cluster=0)])
    with path.open("a") as stream:
        stream.write('{"id": "b-1"\n')
    with pytest.raises(IntegrityError, match=r"train.jsonl: line 2 is not an example"):
        read_examples(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match="the split file is missing"):
        read_examples(tmp_path / "test.jsonl")
