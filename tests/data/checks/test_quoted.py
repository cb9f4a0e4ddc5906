"""Texts are found where 70% of their 8-grams stand; what many share, and what is short, counts otherwise."""

from __future__ import annotations

from pipeline.data.checks.quoted import Quotes

LONG = " ".join(f"w{number}" for number in range(17))  # 10 word 8-grams


def test_seventy_in_a_hundred_of_the_8_grams_are_enough() -> None:
    quotes = Quotes([LONG])
    words = LONG.split()
    # the first 14 words hold 7 of the 10 8-grams, the first 13 only 6
    assert list(quotes.in_text("before " + " ".join(words[:14]) + " after")) == [0]
    assert list(quotes.in_text(" ".join(words[:13]))) == []
    assert list(quotes.in_text(LONG.upper() + "!")) == [0]


def test_what_more_than_three_texts_share_is_a_frame() -> None:
    frame = " ".join(f"frame{number}" for number in range(20))
    quotes = Quotes([f"{frame} {LONG.replace('w', name)}" for name in "abcd"])
    assert list(quotes.in_text(f"{frame} something else entirely")) == []
    # 17 8-grams are a text's own: 10 of its last words, 7 that begin in the frame, of which the last 3 are here
    assert list(quotes.in_text(f"frame17 frame18 frame19 {LONG.replace('w', 'b')}")) == [1]
    assert list(quotes.in_text(LONG.replace("w", "b"))) == []


def test_a_short_text_is_found_as_a_whole_line_only() -> None:
    quotes = Quotes(["where is my parcel", "yes"])
    assert list(quotes.in_text("Where is my parcel?\nno idea")) == [0]
    assert list(quotes.in_text("tell me where is my parcel")) == []
    assert list(quotes.in_text("yes")) == []
