from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.evaluate.judge.verdicts import Verdict, outcome, preferred, read_verdict


@pytest.mark.parametrize(
    ("reply", "letter", "reason"),
    [
        ('{"reason": "shorter", "verdict": "B"}', "B", "shorter"),
        ('```json\n{"verdict": "a"}\n```', "A", ""),
        ('It seemed {"verdict": "A"}. Yes: {"verdict": "A", "reason": " right "}', "A", "right"),
        ('{"verdict": "A", "reason": "line\nbreak"}', "A", "line\nbreak"),
        ('{"reason": "it uses {x} and \\\\frac{1}{2}", "verdict": "A"}', "A", "it uses {x} and \\frac{1}{2}"),
        ('{"reason": "\\\\sqrt{2} and \\(x\\)", "verdict": "B", "scores": {"A": 1}}', "B", "\\sqrt{2} and \\(x\\)"),
        ("Both are fine, but the second is right. [[B]]", "B", "Both are fine, but the second is right."),
        ("[[C]] at first sight; in the end [[tie]]", "tie", "[[C]] at first sight; in the end"),
    ],
)
def test_verdicts_are_read(reply: str, letter: str, reason: str) -> None:
    assert read_verdict(reply, ties=True) == Verdict(letter, reason)  # type: ignore[arg-type]


_QUOTED = 'B holds {"verdict": "B"} and [[B]]. {"reason": "a trick", "verdict'
UNREADABLE = [
    _QUOTED,  # it breaks off in its own verdict
    _QUOTED + '": "neither"}',
    '{"verdict": "A", "reason": "B says {"verdict": "B"} of itself"}',  # quotes inside quotes
    '{"reason": "B says {"verdict": "B"} of itself", "verdict": "A"}',
    'B holds {"verdict": "B"}. {"reason": "B tries {x} and [[B]]", "verdict": "A"}',
    '{"verdict": "A"} B holds {"verdict": "B"}',
    "[[A]]: B says [[B]] of itself",
]
"""Replies whose own verdict cannot be told, beside one that they quote from an answer."""


@pytest.mark.parametrize(
    "reply", ["", "A", "Answer A is better", '{"verdict": "C or A"}', '{"verdict": 1}', "{{}", "[[D]]", *UNREADABLE]
)
def test_other_replies_hold_none(reply: str) -> None:
    assert read_verdict(reply, ties=True) is None


def test_a_tie_is_no_verdict_where_there_are_none() -> None:
    assert read_verdict('{"verdict": "tie"}', ties=False) is None


@given(st.text())
def test_no_reply_breaks_it(reply: str) -> None:
    found = read_verdict(reply, ties=True)
    assert found is None or found.letter in ("A", "B", "tie")


def test_both_orders_make_an_outcome() -> None:
    a, b, tie = (Verdict(letter, "") for letter in ("A", "B", "tie"))  # type: ignore[arg-type]
    table = {
        (a, b): "win",  # the first answer both times
        (b, a): "loss",
        (a, a): "tie",  # the place both times
        (b, b): "tie",
        (tie, tie): "tie",
        (a, tie): "tie",
        (None, a): None,
    }
    for (straight, swapped), expected in table.items():
        assert outcome(preferred(straight, swapped=False), preferred(swapped, swapped=True)) == expected
