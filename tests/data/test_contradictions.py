from __future__ import annotations

import pytest

from pipeline.data.contradictions import answer_key, contradictions, prompt_key
from pipeline.data.dedup import Copy, exact_copies
from pipeline.data.personal_data import DETECTORS
from pipeline.data.redaction import redact_draft
from pipeline.data.rows import Draft
from schemas.data import Message

KINDS = tuple(DETECTORS)


def asked(prompt: str, answer: str, **more: object) -> Draft:
    turns = (Message(role="user", content=prompt), Message(role="assistant", content=answer))
    return Draft("train", 1, messages=turns, **more)  # type: ignore[arg-type]


def preferred(prompt: str, chosen: str, rejected: str) -> Draft:
    return Draft(
        "train",
        1,
        messages=(Message(role="user", content=prompt),),
        chosen=(Message(role="assistant", content=chosen),),
        rejected=(Message(role="assistant", content=rejected),),
    )


def test_the_same_prompt_with_different_answers_is_a_contradiction() -> None:
    rows = [asked("a b", "yes"), asked("c", "no"), asked(" a b\n", "no"), asked("a b", "yes"), asked("c", "No ")]
    assert contradictions(rows) == [[0, 2, 3]]


@pytest.mark.parametrize(("first", "second"), [("US", "us"), ("if x:\n  y", "if x:\n    y"), ("3 + 4", "3 - 4")])
def test_case_indentation_and_signs_make_another_prompt(first: str, second: str) -> None:
    assert contradictions([asked(first, "x"), asked(second, "y")]) == []


def test_composed_and_decomposed_letters_are_the_same() -> None:
    assert contradictions([asked("caf\u00e9", "x"), asked("cafe\u0301", "y")]) == [[0, 1]]


def test_rows_are_compared_as_they_were_before_redaction() -> None:
    numbers = [f"call 030 1234 567{digit}" for digit in (8, 9)]
    rows = [redact_draft(asked(number, f"to {index}"), KINDS)[0] for index, number in enumerate(numbers)]
    assert [row.prompt_text for row in rows] == ["call [PHONE]"] * 2
    assert contradictions(rows) == []
    assert exact_copies([redact_draft(asked(number, "same"), KINDS)[0] for number in numbers]) == []


def test_earlier_turns_and_tools_belong_to_the_prompt() -> None:
    first = Message(role="user", content="x")
    middle = Message(role="assistant", content="y")
    long = Draft("train", 1, messages=(first, middle, first, Message(role="assistant", content="z")))
    assert prompt_key(long) != prompt_key(asked("x", "z"))
    assert prompt_key(asked("x", "z", tools=({"name": "f"},))) != prompt_key(asked("x", "z"))
    assert prompt_key(asked("x y", "z")) != prompt_key(Draft("train", 1, text="x y"))


def test_preferences_contradict_only_where_one_pair_is_preferred_both_ways() -> None:
    rows = [preferred("a", "b", "c"), preferred("a", "b", "d"), preferred("a", "C", "b")]
    assert contradictions(rows) == [[0, 2]]
    assert answer_key(rows[0]) != answer_key(rows[2])


def test_texts_never_contradict() -> None:
    assert contradictions([Draft("train", 1, text="a"), Draft("train", 2, text="a")]) == []


def test_an_answer_contradicts_where_it_is_desirable_and_not() -> None:
    rows = [
        asked("a", answer, desirable=good)
        for answer, good in (("b", True), ("c", False), ("B", False), ("b", True), ("c", False))
    ]
    assert contradictions(rows) == [[0, 2, 3]]
    assert exact_copies(rows) == [Copy(3, 0), Copy(4, 1)]
