from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core import numbers
from pipeline.report import wording
from schemas.evaluate import Score


@pytest.mark.parametrize(
    ("function", "value", "text"),
    [
        (numbers.percent, 0.8504, "85.0%"),
        (numbers.points, 0.7271, "+72.7 points"),
        (numbers.points, -0.05, "-5.0 points"),
        (numbers.p_value, 0.0123, "p = 0.012"),
        (numbers.p_value, 0.00099, "p < 0.001"),
        (wording.level, 0.05, "95%"),
        (wording.level, 0.1, "90%"),
        (wording.size, 999, "999 B"),
        (wording.size, 2_400_000, "2.4 MB"),
        (wording.size, 2_900_000_000, "2.9 GB"),
        (wording.seconds, 12.34, "12.3 s"),
        (wording.seconds, 200, "3 min 20 s"),
        (wording.seconds, 3599.4, "59 min 59 s"),
        (wording.seconds, 3599.6, "1 h 0 min"),
        (wording.seconds, 4000, "1 h 7 min"),  # 4000 s are 66.67 minutes
        (wording.dollars, 0.0, "$0.00"),
        (wording.dollars, 0.0049, "less than $0.01"),
        (wording.dollars, 1234.5, "$1,234.50"),
    ],
)
def test_numbers_as_people_read_them(function: object, value: float, text: str) -> None:
    assert callable(function)
    assert function(value) == text


def test_a_score_comes_with_its_interval_and_n() -> None:
    score = Score(value=0.85, low=0.826, high=0.8714, n=1000, method="wilson")
    assert wording.score_text(score) == "85.0% (95% interval 82.6% to 87.1%, n = 1,000)"


def test_counts_agree_with_their_noun() -> None:
    assert wording.count(1, "row") == "1 row"
    assert wording.count(1200, "row") == "1,200 rows"


def test_a_long_text_keeps_both_ends() -> None:
    # 11 characters: (11 - 3) // 2 = 4 of the head, " … ", 4 of the tail
    assert wording.clip("0123456789abcdef", 11) == "0123 … cdef"


@given(st.text(), st.integers(5, 50))
def test_clipped_text_is_one_short_line_without_control_characters(text: str, limit: int) -> None:
    clipped = wording.clip(text, limit)
    assert len(clipped) <= limit
    assert not any(ord(character) < 0x20 or 0x7F <= ord(character) < 0xA0 for character in clipped)
    clipped.encode("utf-8")
