from __future__ import annotations

from typing import Any

import pytest

from pipeline.core.errors import ConfigError, DataError
from pipeline.data.columns import find_layout, unread_text
from pipeline.data.rows import SourceRow
from schemas.data import DataOptions

CHAT = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
SHARED = [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]


def layout(*rows: dict[str, Any], **options: Any) -> Any:
    source = [SourceRow(number, row) for number, row in enumerate(rows, start=1)]
    return find_layout(DataOptions.model_validate(options), source, "rows.jsonl")


@pytest.mark.parametrize(
    ("row", "found"),
    [
        ({"prompt": "a", "completion": "b"}, "prompt_completion"),
        ({"question": "a", "answer": "b"}, "prompt_completion"),
        ({"input": "a", "output": "b"}, "prompt_completion"),
        ({"Prompt": "a", "Response": "b"}, "prompt_completion"),
        ({"messages": CHAT}, "messages"),
        ({"conversations": SHARED}, "sharegpt"),
        ({"conversations": CHAT}, "messages"),
        ({"messages": '[{"from": "human", "value": "a"}]'}, "sharegpt"),
        ({"instruction": "a", "input": "", "output": "b"}, "alpaca"),
        ({"instruction": "a", "input": "", "response": "b"}, "alpaca"),
        ({"instruction": "a", "context": "", "response": "b", "category": "c"}, "alpaca"),
        ({"instruction": "a", "response": "b"}, "prompt_completion"),
        ({"prompt": "a", "chosen": "b", "rejected": "c"}, "preference"),
        ({"chosen": CHAT, "rejected": CHAT}, "preference"),
        ({"text": "a", "label": "b"}, "label"),
        ({"text": "a", "category": "b"}, "label"),
        ({"text": "a"}, "text"),
    ],
)
def test_the_format_is_found(row: dict[str, Any], found: str) -> None:
    assert layout(row).format == found


def test_columns_are_found_by_name_or_as_named() -> None:
    row = {"question": "a", "answer": "b", "source": "c"}
    found = layout(row)
    assert found.columns == {"prompt": "question", "completion": "answer"}
    assert found.unused == ("source",)
    swapped = layout(row, columns={"prompt": "answer", "completion": "question"})
    assert swapped.columns == {"prompt": "answer", "completion": "question"}


def test_the_columns_of_alpaca_and_dolly() -> None:
    alpaca = layout({"prompt": "whole", "instruction": "a", "input": "", "output": "b", "answer": "c", "history": []})
    assert alpaca.columns == {
        "prompt": "instruction", "completion": "output", "input": "input", "history": "history",
    }  # fmt: skip
    dolly = layout({"instruction": "a", "context": "", "response": "b", "category": "c"})
    assert dolly.columns == {"prompt": "instruction", "completion": "response", "input": "context"}
    named = layout({"question": "a", "passage": "b", "answer": "c"}, columns={"input": "passage"})
    assert (named.format, named.columns["input"]) == ("alpaca", "passage")
    assert "input" not in layout({"input": "a", "output": "b"}, format="alpaca").columns


def test_columns_that_hold_text_and_nothing_reads_are_found() -> None:
    rows = [
        SourceRow(
            index,
            {"note": "a few more words", "id": "row 1", "rare": "these words are rare" if index == 1 else None, "n": 3},
        )
        for index in range(1, 31)
    ]
    assert unread_text(("note", "id", "rare", "n", "absent"), rows) == ("note",)


def test_a_named_format_wins() -> None:
    assert layout({"text": "a", "label": "b"}, format="text").format == "text"


def test_named_columns_decide_the_format() -> None:
    row = {"utterance": "a", "command": "b", "label": "c"}
    both = {**row, "prompt": "d", "completion": "e"}
    assert layout(both, columns={"text": "utterance", "label": "label"}).format == "label"
    assert layout(row, columns={"prompt": "utterance", "completion": "command"}).format == "prompt_completion"


@pytest.mark.parametrize(
    ("row", "options", "found"),
    [
        ({"title": "a", "verdict": "b"}, {"completion_template": "{{ verdict }}"}, "prompt_completion"),
        ({"title": "a", "answer": "b"}, {}, "prompt_completion"),
        ({"title": "a", "label": "b"}, {}, "label"),
        ({"title": "a", "chosen": "b", "rejected": "c"}, {}, "preference"),
    ],
)
def test_a_prompt_template_stands_for_the_prompt(row: dict[str, Any], options: dict[str, str], found: str) -> None:
    assert layout(row, prompt_template="{{ title }}", **options).format == found


def test_columns_of_later_rows_count() -> None:
    assert layout({"prompt": "a"}, {"prompt": "a", "completion": "b"}).format == "prompt_completion"


def test_columns_that_fit_nothing_are_named_with_the_nearest() -> None:
    with pytest.raises(
        DataError, match=r"rows.jsonl: the columns 'promt', 'answr' fit no known format.*'promt' looks like 'prompt'"
    ):
        layout({"promt": "a", "answr": "b"})


def test_a_column_that_a_format_needs_is_named() -> None:
    with pytest.raises(
        DataError, match=r"format preference needs a rejected column; .*'rejectd' looks like 'rejected'"
    ):
        layout({"prompt": "a", "chosen": "b", "rejectd": "c"}, format="preference")


def test_an_unknown_column_in_the_options_is_named_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"data.columns.prompt: there is no column 'mesage' .*did you mean 'message'"):
        layout({"message": "a", "triage": "b"}, columns={"prompt": "mesage", "completion": "triage"})


def test_a_named_column_that_a_format_does_not_read_is_an_error() -> None:
    row = {"text": "a", "label": "b", "passage": "c"}
    with pytest.raises(ConfigError, match=r"data.columns.system: rows of format label have no system column"):
        layout(row, columns={"system": "passage"})


def test_splitting_by_group_needs_a_group() -> None:
    with pytest.raises(ConfigError, match=r"data.columns.group: splitting by group needs a group column"):
        layout({"prompt": "a", "completion": "b"}, split={"by": "group"})
    assert layout({"prompt": "a", "completion": "b", "group": "c"}, split={"by": "group"}).columns["group"] == "group"
