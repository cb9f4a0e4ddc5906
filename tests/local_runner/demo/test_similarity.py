from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_runner.demo.similarity import SimilarityIndex, bigrams, jaccard

TEXTS = st.lists(st.sampled_from("abcd"), min_size=2, max_size=12).map(" ".join)


def test_bigrams_ignore_case_and_punctuation() -> None:
    assert bigrams("The lamp, the LAMP!") == {"the lamp", "lamp the"}


def test_jaccard_by_hand() -> None:
    # {ab, bc, cd} and {ab, bc, ce}: two shared of four.
    assert jaccard(bigrams("a b c d"), bigrams("a b c e")) == 0.5
    assert jaccard(frozenset(), frozenset()) == 1.0


@given(st.lists(TEXTS, max_size=20), TEXTS, st.sampled_from([0.3, 0.5, 0.7, 0.8, 1.0]))
def test_index_agrees_with_comparing_all(texts: list[str], text: str, threshold: float) -> None:
    index = SimilarityIndex()
    for known in texts:
        index.add(known)
    expected = any(jaccard(bigrams(text), bigrams(known)) >= threshold for known in texts)
    assert index.has_similar(text, threshold) is expected


@pytest.mark.parametrize("threshold", [0.5, 2 / 3])
def test_a_similarity_of_exactly_the_threshold_counts(threshold: float) -> None:
    index = SimilarityIndex()
    index.add("a b c d" if threshold == 0.5 else "a b c d e f")
    # Two shared of four; four shared of six.
    assert index.has_similar("a b c e" if threshold == 0.5 else "a b c d e g", threshold)
