"""BLEU, chrF and ROUGE: by hand where that is short, as their libraries, and over resamples."""

from __future__ import annotations

import math

import numpy as np
import pytest
import sacrebleu
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.errors import DataError
from pipeline.metrics import CorpusMetric, get_metric

WORDS = st.lists(st.sampled_from(["the", "cat", "sat", "on", "mat", "äö", "."]), min_size=1, max_size=12).map(" ".join)
PAIRS = st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=8)


def corpus_metric(name: str) -> CorpusMetric:
    found = get_metric(name)
    assert isinstance(found, CorpusMetric)
    return found


def test_bleu_by_hand() -> None:
    # "a b c d e" against "a b c d f": 4/5, 3/4, 2/3, 1/2, equal lengths: (4/5 * 3/4 * 2/3 * 1/2) ** (1/4)
    expected = (4 / 5 * 3 / 4 * 2 / 3 * 1 / 2) ** 0.25
    assert get_metric("bleu").corpus(["a b c d e"], ["a b c d f"]) == pytest.approx(expected)
    # The first four words alone: every n-gram is right, and the brevity penalty is exp(1 - 5/4).
    assert get_metric("bleu").corpus(["a b c d"], ["a b c d f"]) == pytest.approx(math.exp(-0.25))
    assert get_metric("bleu").item("a b", "a b") == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("name", "value"),
    [("rouge1", 4 / 5), ("rouge2", 1 / 2), ("rougeL", 3 / 5)],
)
def test_rouge_by_hand(name: str, value: float) -> None:
    # 4 of 5 words are shared; of four bigrams each, the-cat and cat-sat; the longest common subsequence is of 3.
    said, meant = "the cat sat on mat", "mat the cat sat dog"
    assert get_metric(name).item(said, meant) == pytest.approx(value)


@settings(max_examples=30)
@given(PAIRS)
def test_bleu_and_chrf_are_those_of_sacrebleu(pairs: list[tuple[str, str]]) -> None:
    said, meant = ([pair[side] for pair in pairs] for side in (0, 1))
    expected = {
        "bleu": sacrebleu.corpus_bleu(said, [meant]).score,
        "chrf": sacrebleu.corpus_chrf(said, [meant]).score,
    }
    for name, value in expected.items():
        metric = corpus_metric(name)
        assert metric.corpus(said, meant) == pytest.approx(value / 100)
        once = np.ones((1, len(pairs)), dtype=np.int64)
        assert metric.statistic(said, meant)(once)[0] == pytest.approx(value / 100)


@pytest.mark.parametrize("name", ["bleu", "chrf"])
@settings(max_examples=20)
@given(pairs=PAIRS, seed=st.integers(0, 9))
def test_a_resample_is_scored_as_the_set_that_it_is(name: str, pairs: list[tuple[str, str]], seed: int) -> None:
    said, meant = ([pair[side] for pair in pairs] for side in (0, 1))
    drawn = np.random.default_rng(seed).integers(0, len(pairs), len(pairs))
    counts = np.bincount(drawn, minlength=len(pairs))[None, :]
    resampled = corpus_metric(name).corpus([said[place] for place in drawn], [meant[place] for place in drawn])
    assert corpus_metric(name).statistic(said, meant)(counts)[0] == pytest.approx(resampled)


@pytest.mark.parametrize("name", ["bleu", "chrf", "rouge1"])
def test_nothing_has_no_score(name: str) -> None:
    with pytest.raises(DataError, match="no items"):
        get_metric(name).corpus([], [])
