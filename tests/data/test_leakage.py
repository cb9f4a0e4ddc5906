from __future__ import annotations

import pytest

from pipeline.core.context import CallContext
from pipeline.data.leakage import decontaminate, find_leakage
from pipeline.data.ledger import Ledger
from pipeline.data.personal_data import DETECTORS
from pipeline.data.redaction import redact_draft
from pipeline.data.rows import Draft
from pipeline.data.text import asked_words
from schemas.data import Message, Split


def asked(source: Split, prompt: str, system: str | None = None, **more: object) -> Draft:
    turns = [Message(role="user", content=prompt), Message(role="assistant", content="x")]
    before = [Message(role="system", content=system)] if system else []
    return Draft(source, 1, messages=(*before, *turns), **more)  # type: ignore[arg-type]


def stay(*drafts: Draft) -> list[bool]:
    """Return which training rows are neither removed nor found to be asked in a held-out row, one by one."""
    kept = decontaminate(list(drafts), "drop", Ledger(), CallContext())
    splits = [draft.source for draft in drafts]
    found = [
        not any(find_leakage([draft, *drafts[-1:]], ["train", splits[-1]], []).copied)
        for draft in drafts
        if draft.source == "train"
    ]
    assert [any(draft is one for one in kept) for draft in drafts if draft.source == "train"] == found
    return found


def test_the_system_turn_and_the_tools_are_asked_too() -> None:
    documents = [asked("train", "Summarize.", f"Document {index}: {index} ducks") for index in range(3)]
    assert stay(*documents, asked("test", "summarize", "Another document")) == [True, True, True]
    assert stay(*documents, asked("test", "summarize", "document 1, 1 ducks!")) == [True, False, True]
    tools = ({"name": "weather"},)
    rows = [asked("train", "Is it wet?"), asked("train", "Is it wet?", tools=tools)]
    assert stay(*rows, asked("test", "is it wet", tools=tools)) == [True, False]


def test_rows_are_compared_as_they_were_given() -> None:
    numbers = [redact_draft(asked("train", f"call 030 1234 567{digit}"), tuple(DETECTORS))[0] for digit in (7, 8)]
    held = redact_draft(asked("test", "Call 030 1234 5678!"), tuple(DETECTORS))[0]
    assert numbers[0].prompt == numbers[1].prompt
    assert stay(*numbers, held) == [True, False]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("(2+3)*4", "2+3*4"),
        ("2*(3+4)", "(2*3)+4"),
        ("x != y", "x = y"),
        ("if !x", "if x"),
        ("compute 5!", "compute 5"),
        ("compute n!", "compute n"),
        ("compute 10!", "compute 10"),
        ("learn C#", "learn C"),
        ("learn C++", "learn C"),
        ("is C# like C?", "is C like C#?"),
        ("3 - 4", "3 4"),
        ("a ≠ b", "a b"),
        ("+", "-"),
    ],
)
def test_signs_that_calculate_ask_something_else(first: str, second: str) -> None:
    assert asked_words(first) != asked_words(second)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Where is it?", " where  IS it!"),
        ("Help! It is wet - so wet.", "help it is wet, so wet"),
        ("parcel a12!", "parcel a12"),
        ("caf\u00e9!", "Cafe\u0301"),
        ("日本。", "日本"),
    ],
)
def test_case_and_punctuation_ask_nothing_else(first: str, second: str) -> None:
    assert asked_words(first) == asked_words(second)


def test_copies_and_near_rows_are_found_in_both_directions() -> None:
    texts = ["where is it", "Where is it?", "where was it", "other", "OTHER", "alone", "else", "like"]
    splits: list[Split] = ["train", "test", "test", "validation", "train", "test", "test", "train"]
    drafts = [Draft("train", index, text=text) for index, text in enumerate(texts)]
    # pairs of indexes: test rows near a training row before and after them, one near a validation row only
    found = find_leakage(drafts, splits, [(0, 2, 0.8), (3, 6, 0.9), (5, 6, 0.9), (3, 4, 1.0), (5, 7, 0.8)])
    assert found.copies(splits) == {"validation": 1, "test": 1}
    assert found.near == {1, 2, 3, 5}


def test_without_held_out_rows_nothing_leaks() -> None:
    found = find_leakage([Draft("train", 1, text="a"), Draft("train", 2, text="a")], ["train", "train"], [(0, 1, 1.0)])
    assert (found.copied, found.near) == (frozenset(), frozenset())
