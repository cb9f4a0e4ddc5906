"""Slices by language and topic, and those on which a subject is weak."""

from __future__ import annotations

import random

import pytest

from pipeline.backends.topics_sklearn import MOST_TOPICS, find_topics
from pipeline.core.scripts import main_script
from pipeline.evaluate.items import Item, as_item
from pipeline.evaluate.slices import LEAST_ITEMS, slice_places
from pipeline.evaluate.weak_slices import weak_slices
from tests.evaluate.support import example

WORDS = {
    "parcel": ["parcel", "delivery", "courier", "late", "address", "street", "door"],
    "password": ["password", "login", "account", "reset", "email", "code", "app"],
    "refund": ["refund", "money", "card", "payment", "charged", "bank", "order"],
}


def asked(questions: list[str], **more: object) -> list[Item]:
    return [as_item(example(number, text, f"a{number}", **more)) for number, text in enumerate(questions)]


def questions(count: int, seed: int = 0) -> list[tuple[str, str]]:
    """Return (subject, question) pairs, subjects in a random order."""
    draw = random.Random(seed)
    subjects = [draw.choice(list(WORDS)) for _ in range(count)]
    return [(subject, " ".join(draw.choices(WORDS[subject], k=5))) for subject in subjects]


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("Where is my parcel?", "Latin"),
        ("Где моя посылка?", "Cyrillic"),
        ("parcel где моя посылка", "Cyrillic"),
        ("abc где", None),
        ("12 34", None),
        ("да", None),
    ],
)
def test_a_script_is_that_of_most_letters(text: str, script: str | None) -> None:
    assert main_script(text) == script


def test_items_are_parted_by_script_where_they_do_not_say_their_language() -> None:
    rows = asked(["where is it"] * 40 + ["где моя посылка"] * 30 + ["που είναι"] * 29)
    found = slice_places(rows)
    assert found["script Latin"] == list(range(40))
    assert found["script Cyrillic"] == list(range(40, 70))
    assert "script Greek" not in found  # too few


def test_what_the_rows_say_goes_before_their_script() -> None:
    rows = [
        as_item(example(number, "where is it", "x", language="en" if number < 50 else "de")) for number in range(100)
    ]
    found = slice_places(rows)
    assert (len(found["language en"]), len(found["language de"])) == (50, 50)
    assert not any(name.startswith("script") for name in found)


def test_topics_are_what_questions_are_about() -> None:
    pairs = questions(360)
    found = find_topics([text for _, text in pairs])
    assert len(found) == 3
    for name, places in found:
        subjects = [pairs[place][0] for place in places]
        main = max(set(subjects), key=subjects.count)
        assert subjects.count(main) / len(subjects) > 0.95
        assert set(name.split(", ")) <= set(WORDS[main])
    assert sorted(place for _, places in found for place in places) == list(range(360))
    assert find_topics([text for _, text in pairs]) == found


@pytest.mark.parametrize("texts", [[], ["a b c"] * 10, ["word"] * 500, [""] * 500, [str(n) for n in range(500)]])
def test_texts_without_topics_have_none(texts: list[str]) -> None:
    assert find_topics(texts) == []


def test_topics_are_slices_of_enough_items() -> None:
    rows = asked([text for _, text in questions(400)])
    topics = {name: places for name, places in slice_places(rows).items() if name.startswith("topic ")}
    assert 1 < len(topics) <= MOST_TOPICS
    assert all(LEAST_ITEMS <= len(places) < 400 for places in topics.values())


def test_the_weak_slices_are_those_that_are_worse_than_the_rest() -> None:
    draw = random.Random(3)
    rows = asked(["q"] * 300)
    parts = {"bad": list(range(60)), "same": list(range(60, 180)), "good": list(range(180, 300))}
    chance = [0.4] * 60 + [0.8] * 120 + [0.85] * 120
    scores = [float(draw.random() < each) for each in chance]
    (weak,) = weak_slices(rows, scores, parts, higher_is_better=True)
    assert (weak.name, weak.n) == ("bad", 60)
    assert weak.low < weak.difference < weak.high < 0.0
    assert weak.p_value < 0.001
    worse = weak_slices(rows, [1 - score for score in scores], parts, higher_is_better=False)
    assert [each.name for each in worse] == ["bad"]


def test_items_of_one_cluster_show_no_weakness() -> None:
    rows = [as_item(example(number, "q", "x", cluster=7)) for number in range(60)]
    assert weak_slices(rows, [0.0] * 30 + [1.0] * 30, {"bad": list(range(30))}, higher_is_better=True) == ()
