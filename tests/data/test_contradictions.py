from __future__ import annotations

from pipeline.data.contradictions import answer_key, contradictions, prompt_key
from pipeline.data.rows import Draft
from schemas.data import Message


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
    rows = [asked("A  b", "yes"), asked("c", "no"), asked("a B\n", "no"), asked("a b", "yes"), asked("c", "No ")]
    assert contradictions(rows) == [[0, 2, 3]]


def test_punctuation_makes_another_prompt() -> None:
    assert contradictions([asked("3 + 4", "7"), asked("3 - 4", "-1")]) == []


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
