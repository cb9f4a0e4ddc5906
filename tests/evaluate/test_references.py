"""Records classified field by field: what words alone can reach."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pipeline.core.context import CallContext
from pipeline.core.errors import DataError
from pipeline.evaluate.items import as_item
from pipeline.evaluate.references import MOST_VALUES, ReferenceRespondent
from tests.evaluate.support import example


def answers(train: list[tuple[str, Any]], asked: list[str]) -> list[Any]:
    """Fit on (text, record) rows and return the records for ``asked``."""
    rows = [as_item(example(n, text, json.dumps(record), label=None)) for n, (text, record) in enumerate(train)]
    items = [as_item(example(n, text, "{}", label=None)) for n, text in enumerate(asked)]
    told: list[int] = []
    completions = ReferenceRespondent(rows, items).answer(0, len(items), CallContext(), told.append)
    assert told == [len(items)]
    return [json.loads(completion.text) for completion in completions]


TRAIN = [
    (f"the {color} {thing} is {state} {turn}", {"thing": thing, "ok": state == "fine"})
    for turn in range(3)
    for color in ("red", "blue")
    for thing in ("lamp", "door")
    for state in ("fine", "broken")
]


def test_fields_are_learned_apart_and_keep_their_types() -> None:
    assert answers(TRAIN, ["a lamp, broken", "my door is fine"]) == [
        {"thing": "lamp", "ok": False},
        {"thing": "door", "ok": True},
    ]


def test_a_field_that_is_sometimes_absent_is_left_out() -> None:
    train = [(f"urgent call {n}", {"kind": "call", "when": "now"}) for n in range(6)]
    train += [(f"some mail {n}", {"kind": "mail"}) for n in range(6)]
    assert answers(train, ["urgent call", "some mail"]) == [{"kind": "call", "when": "now"}, {"kind": "mail"}]


def test_free_text_takes_its_most_frequent_value() -> None:
    """One more value than is learned, one of them twice: that one is the answer to everything."""
    names = [f"name{n}" for n in range(MOST_VALUES + 1)] + ["name7"]
    train = [(f"I am {name}", {"name": name, "kind": "person"}) for name in names]
    assert answers(train, ["I am name3"]) == [{"name": "name7", "kind": "person"}]


def test_answers_that_are_no_objects_are_refused_by_row() -> None:
    with pytest.raises(DataError, match=r"source row 2: .* no JSON object"):
        answers([("a", {"x": 1}), ("b", [1])], ["c"])
