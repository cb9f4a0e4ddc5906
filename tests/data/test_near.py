from __future__ import annotations

import math
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.data.near import PERMUTATIONS, bands_for, near_duplicate_pairs, similarity
from pipeline.data.text import normalize, words
from tests.data.support import WORDS, sentence

SENTENCES = st.lists(st.sampled_from(WORDS[:6]), max_size=8).map(" ".join)


def test_similarity_by_hand() -> None:
    # bigrams: ab bc cd against ab bc cx: 2 shared of 4
    assert similarity("a b c d", "A, b; c x!") == 0.5
    assert similarity("a", "a") == 1.0
    assert similarity("a", "b") == 0.0
    assert similarity("", "") == 1.0
    assert similarity("a b a b", "a b") == 0.5  # sets: {ab, ba} and {ab}


@settings(max_examples=60, deadline=None)
@given(st.lists(SENTENCES, max_size=12), st.sampled_from([0.5, 0.8, 1.0]))
def test_no_pair_below_the_threshold_and_each_with_its_exact_similarity(texts: list[str], threshold: float) -> None:
    found = list(near_duplicate_pairs(texts, threshold))
    assert len({(left, right) for left, right, _ in found}) == len(found)
    for left, right, value in found:
        assert left < right
        assert value == pytest.approx(similarity(texts[left], texts[right]), abs=1e-12)
        assert value >= threshold
    same = {(i, j) for i, j in combinations(range(len(texts)), 2) if words(texts[i]) == words(texts[j]) != []}
    assert same <= {(left, right) for left, right, _ in found}


def test_nearly_every_pair_above_the_threshold_is_found() -> None:
    # 20 words have 19 bigrams; a changed last word leaves 18 of 20 (.9), two changed words at the ends 17 of 21 (.81)
    originals = [" ".join(f"{index}w{step}" for step in range(20)) for index in range(400)]
    one = [f"{text.rsplit(' ', 1)[0]} changed" for text in originals]
    two = [f"changed {text.split(' ', 1)[1].rsplit(' ', 1)[0]} changed" for text in originals]
    assert similarity(originals[0], one[0]) == pytest.approx(18 / 20)
    assert similarity(originals[0], two[0]) == pytest.approx(17 / 21)
    found = {(left, right) for left, right, _ in near_duplicate_pairs(originals + one + two, 0.8)}
    expected = {(index, 400 + index) for index in range(400)} | {(index, 800 + index) for index in range(400)}
    assert len(found & expected) >= 0.99 * len(expected)
    # the two changed forms share 17 of 20 (.85); nothing else is alike
    assert found <= expected | {(400 + index, 800 + index) for index in range(400)}


def test_a_large_group_of_like_texts_is_joined_to_its_first() -> None:
    texts = [sentence(1, 20)] * 400 + [sentence(2, 20)]
    found = {(left, right) for left, right, _ in near_duplicate_pairs(texts, 0.8, skip_boilerplate=False)}
    assert {(0, index) for index in range(1, 400)} <= found
    assert all(right < 400 for _, right in found)


def test_words_that_most_rows_share_do_not_make_them_alike() -> None:
    frame = "please read the following customer message with care and answer with one label only message"
    texts = [f"{frame} {sentence(index, 3)}" for index in range(150)]
    assert similarity(texts[0], texts[1]) >= 0.7
    assert len(near_duplicate_pairs(texts, 0.7)) == 0
    assert len(near_duplicate_pairs(texts, 0.7, skip_boilerplate=False)) > 1000
    copies = near_duplicate_pairs([*texts, texts[0]], 0.7)
    assert list(copies) == [(0, 150, 1.0)]


def test_rows_of_nothing_but_shared_words_keep_them() -> None:
    texts = ["check my balance please"] * 120
    assert len(near_duplicate_pairs(texts, 0.8)) >= 119


@pytest.mark.parametrize("threshold", [0.5, 0.6, 0.7, 0.8, 0.9, 0.95])
def test_bands_find_a_pair_at_the_threshold(threshold: float) -> None:
    bands, rows = bands_for(threshold)
    assert bands * rows <= PERMUTATIONS
    assert 1 - (1 - threshold**rows) ** bands >= 0.99


def test_bands_of_low_thresholds_do_what_they_can() -> None:
    # .05 with rows of 1: 1 - .95**128 = .9986 reaches 99%; .01: 1 - .99**128 = .72 does not
    assert bands_for(0.01) == (128, 1)
    assert math.isclose(1 - 0.99**128, 0.7237, abs_tol=1e-4)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I'm  HERE, it's 5_x!", ["i", "m", "here", "it", "s", "5_x"]),
        ("Straße CAFÉ", ["strasse", "café"]),
        ("cafe\u0301", ["café"]),
        ("今日は good", ["今", "日", "は", "good"]),
        ("สวัสดี", list("สวัสดี")),
        ("?!", ["?!"]),
        ("", []),
    ],
)
def test_words(text: str, expected: list[str]) -> None:
    assert words(text) == expected


@given(st.text(st.characters(max_codepoint=127)))
def test_ascii_words_are_the_same_by_both_ways(text: str) -> None:
    # a letter outside ASCII sends the whole text through the pattern
    assert [*words(text), "é"] == words(f"{text} é") or words(text) == normalize(text).split()


def test_normalize_keeps_punctuation_and_drops_case_and_spacing() -> None:
    assert normalize(" Straße\t3 +  4 ") == "strasse 3 + 4"
    assert normalize("cafe\u0301") == normalize("CAFÉ")
