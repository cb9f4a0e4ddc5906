"""Records classified field by field: what words alone can reach."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pipeline.core.context import CallContext
from pipeline.evaluate.items import as_item
from pipeline.evaluate.references import MOST_FIELDS, MOST_VALUES, ReferenceRespondent
from schemas.events import Event
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


def spoken(train: list[tuple[str, str]], asked: list[str], context: CallContext | None = None) -> list[str]:
    """Fit on (text, answer) rows without labels and return the answers to ``asked``."""
    rows = [as_item(example(n, text, answer, label=None)) for n, (text, answer) in enumerate(train)]
    items = [as_item(example(n, text, "?", label=None)) for n, text in enumerate(asked)]
    completions = ReferenceRespondent(rows, items).answer(0, len(items), context or CallContext(), lambda _: None)
    return [completion.text for completion in completions]


def test_a_few_answers_without_labels_are_classes() -> None:
    train = [(f"give {what} back {n}", "refund") for n, what in enumerate(("money", "cash", "payment"))]
    train += [(f"cannot sign {where} {n}", "[1]") for n, where in enumerate(("in", "up", "on"))]
    assert spoken(train, ["my money back", "sign me in"]) == ["refund", "[1]"]


def test_one_answer_to_all_is_that_answer() -> None:
    assert spoken([("a question", "yes"), ("another", "yes")], ["a third"]) == ["yes"]


def test_free_answers_take_the_most_frequent_one_and_say_so() -> None:
    train = [(f"question {n}", f"answer {n}") for n in range(MOST_VALUES + 1)] + [("again", "answer 7")]
    events: list[Event] = []
    assert spoken(train, ["question 3"], CallContext(sink=events.append)) == ["answer 7"]
    assert [event.message for event in events if event.kind == "warning"] == [
        "TF-IDF takes 201 different answers for free text: it gives the most frequent one to all"
    ]


def test_records_go_by_their_fields_even_where_each_is_a_label() -> None:
    """No training row has the record that is asked for, so only fields that are learned apart can give it."""
    train = [(text, record) for text, record in TRAIN if record != {"thing": "lamp", "ok": False}]
    rows = [as_item(example(n, text, json.dumps(record))) for n, (text, record) in enumerate(train)]
    assert all(row.label is not None for row in rows)
    item = as_item(example(0, "the lamp is broken", "{}"))
    [completion] = ReferenceRespondent(rows, [item]).answer(0, 1, CallContext(), lambda _: None)
    assert json.loads(completion.text) == {"thing": "lamp", "ok": False}


def test_a_few_answers_that_are_no_records_teach_no_field_and_stop_none() -> None:
    rows = [as_item(example(n, text, json.dumps(record), label=None)) for n, (text, record) in enumerate(TRAIN)]
    rows.append(as_item(example(99, "hello there", "I cannot say.", label=None)))
    item = as_item(example(0, "my door is fine", "{}", label=None))
    [completion] = ReferenceRespondent(rows, [item]).answer(0, 1, CallContext(), lambda _: None)
    assert json.loads(completion.text) == {"thing": "door", "ok": True}


@pytest.mark.slow
def test_of_many_fields_the_most_frequent_are_learned() -> None:
    train = [(f"call {n}", {"kind": "call" if n % 2 else "mail", f"id{n}": n}) for n in range(MOST_FIELDS + 9)]
    assert "kind" in answers(train, ["call 1"])[0]
