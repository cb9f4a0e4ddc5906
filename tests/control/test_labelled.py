"""What people corrected becomes rows of the form that the version was trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.control.labelled import RowForm, labelled_rows, right_answer
from pipeline.control.versions import open_version
from pipeline.core.errors import ConfigError
from pipeline.data.columns import find_layout
from pipeline.data.rows import SourceRow
from pipeline.monitor.rows import Row
from schemas.data import DataOptions
from tests.support.trained import TEMPLATE, Trained, messages

ASKED = [{"role": "user", "content": "where is it?"}]
TALK = [*ASKED, {"role": "assistant", "content": "what?"}, {"role": "user", "content": "the parcel"}]


def form(head: dict[str, Any], **options: Any) -> RowForm:
    asked = DataOptions.model_validate(options)
    return RowForm(find_layout(asked, [SourceRow(1, head, False)], "a file"), asked)


def test_an_answer_is_right_when_it_was_corrected_or_found_right_by_all() -> None:
    assert right_answer(Row("a", output="x", correction="y", score=1.0)) == "y"
    assert right_answer(Row("a", output="x", score=1.0)) == "x"
    for row in (Row("a", output="x"), Row("a", output="x", score=0.5), Row("a", score=1.0)):
        assert right_answer(row) is None


@pytest.mark.parametrize(
    ("head", "options", "turns", "row"),
    [
        ({"messages": []}, {}, ASKED, {"messages": [*ASKED, {"role": "assistant", "content": "order"}]}),
        ({"messages": []}, {}, TALK, {"messages": [*TALK, {"role": "assistant", "content": "order"}]}),
        (
            {"conversations": [{"from": "human", "value": "a"}]},
            {},
            ASKED,
            {"conversations": [{"from": "human", "value": "where is it?"}, {"from": "gpt", "value": "order"}]},
        ),
        ({"prompt": "a", "completion": "b"}, {}, ASKED, {"prompt": "where is it?", "completion": "order"}),
        ({"instruction": "a", "output": "b"}, {}, ASKED, {"instruction": "where is it?", "output": "order"}),
        ({"text": "a", "intent": "b"}, {}, ASKED, {"text": "where is it?", "intent": "order"}),
        (
            {"text": "a", "intent": "b"},
            {"prompt_template": "Sort: {{ text }}?"},
            [{"role": "user", "content": "Sort: where is it?"}],
            {"text": "where is it", "intent": "order"},
        ),
        ({"text": "a", "intent": "b"}, {"prompt_template": "Sort: {{ text }}"}, ASKED, None),
        ({"prompt": "a", "completion": "b"}, {}, TALK, None),
        ({"messages": []}, {}, [{"role": "user", "content": [{"type": "image_url"}]}], None),
        ({"messages": []}, {}, [], None),
    ],
)
def test_a_request_is_written_back(
    head: dict[str, Any], options: dict[str, Any], turns: list[dict[str, Any]], row: dict[str, Any] | None
) -> None:
    assert form(head, **options).row(turns, "order") == row


def test_the_system_turn_of_the_description_is_no_part_of_a_row() -> None:
    asked = [{"role": "system", "content": "You sort."}, *ASKED]
    row = form({"prompt": "a", "completion": "b"}, system="You sort.").row(asked, "order")
    assert row == {"prompt": "where is it?", "completion": "order"}
    assert form({"prompt": "a", "completion": "b"}, system="Else.").row(asked, "order") is None


@pytest.mark.parametrize(
    ("head", "options", "message"),
    [
        ({"prompt": "a", "chosen": "b", "rejected": "c"}, {}, "rows of format preference"),
        ({"text": "a"}, {}, "rows of format text"),
        ({"a": "x", "b": "y", "intent": "z"}, {"prompt_template": "{{ a }} {{ b }}"}, "one column only"),
        ({"text": "x", "intent": "z"}, {"prompt_template": "{% if text %}{{ text }}{% endif %}"}, "one column only"),
        ({"prompt": "x", "kind": "z"}, {"completion_template": "<{{ kind }}>"}, "columns of a template"),
    ],
)
def test_a_form_that_nothing_can_be_written_back_into_is_said(
    head: dict[str, Any], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        form(head, **options)


def test_rows_are_those_of_the_versions_own_source(tmp_path: Path) -> None:
    trained = Trained(tmp_path, messages(60)).finish_run()
    files = open_version(trained.root, trained.registry, "triage@1")

    def captured(id_: str, text: str, **said: Any) -> Row:
        turns = ({"role": "system", "content": "You sort messages."}, {"role": "user", "content": text})
        return Row(id_, messages=turns, **said)

    found = labelled_rows(
        trained.root,
        files,
        [
            captured("a", TEMPLATE.replace("{{ text }}", "it broke"), output="login", correction="setup"),
            captured("b", TEMPLATE.replace("{{ text }}", "pay me"), output="refund", score=1.0),
            captured("c", "another form", output="refund", score=1.0),
            captured("d", TEMPLATE.replace("{{ text }}", "nobody said"), output="refund"),
            Row("e", output="refund", score=1.0),
        ],
    )
    assert found.rows == ({"text": "it broke", "intent": "setup"}, {"text": "pay me", "intent": "refund"})
    assert found.unfit == 1
    made = trained.retrain(rows=list(found.rows))
    assert made.spec.data.path == "train.jsonl"
