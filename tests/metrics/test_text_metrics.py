"""Exact match, accuracy, valid label and macro-F1 by hand, by invariants and against scikit-learn."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.errors import ConfigError, DataError
from pipeline.metrics import CorpusMetric, get_metric, item_scores
from pipeline.metrics.macro_f1 import MacroF1

LABEL_PAIRS = st.lists(st.tuples(st.sampled_from("abcd?"), st.sampled_from("abcd")), min_size=1, max_size=30)


@pytest.mark.parametrize(
    ("prediction", "exact", "same_label"),
    [
        ("Card Arrival", 1.0, 1.0),
        ("  Card Arrival\n", 1.0, 1.0),
        ("card arrival", 0.0, 1.0),
        ("Card  \t Arrival", 0.0, 1.0),
        ("Card Arrival.", 0.0, 0.0),
        ("", 0.0, 0.0),
    ],
)
def test_what_counts_as_equal(prediction: str, exact: float, same_label: float) -> None:
    assert get_metric("exact_match").item(prediction, "Card Arrival") == exact
    assert get_metric("accuracy").item(prediction, "Card Arrival") == same_label


def test_case_folding_is_unicode() -> None:
    assert get_metric("accuracy").item("STRASSE", "straße") == 1.0


def test_valid_label_looks_at_the_prediction_only() -> None:
    metric = get_metric("valid_label", labels=["Card Arrival", "refund"])
    assert metric.item(" card  arrival", "refund") == 1.0
    assert metric.item("Refunds", "Refunds") == 0.0
    # Two of three are declared labels.
    assert metric.corpus(["refund", "x", "REFUND"], ["a", "b", "c"]) == pytest.approx(2 / 3, abs=1e-12)


@pytest.mark.parametrize("labels", [[], "refund", [1, 2], None])
def test_valid_label_needs_labels(labels: object) -> None:
    with pytest.raises(ConfigError, match="labels"):
        get_metric("valid_label", labels=labels)


def test_macro_f1_by_hand() -> None:
    # References a a a b; predictions a a b b: a has TP 2, FP 0, FN 1: 4/5; b has TP 1, FP 1, FN 0: 2/3.
    assert MacroF1().corpus(list("aabb"), list("aaab")) == pytest.approx((4 / 5 + 2 / 3) / 2, abs=1e-12)
    # A made-up label is no class: a has TP 1, FN 1: 2/3; b has TP 1: 1. With "z" as a class it would be 5/9.
    assert MacroF1().corpus(["a", "z", "b"], list("aab")) == pytest.approx((2 / 3 + 1) / 2, abs=1e-12)


@given(LABEL_PAIRS)
@settings(deadline=None)
def test_macro_f1_equals_scikit_learn(pairs: list[tuple[str, str]]) -> None:
    from sklearn.metrics import f1_score

    predictions, references = (list(side) for side in zip(*pairs, strict=True))
    theirs = f1_score(references, predictions, labels=sorted(set(references)), average="macro", zero_division=0.0)
    assert MacroF1().corpus(predictions, references) == pytest.approx(theirs, abs=1e-12)


@given(LABEL_PAIRS, st.integers(0, 2**32 - 1))
@settings(deadline=None)
def test_macro_f1_of_counts_is_that_of_the_resampled_items(pairs: list[tuple[str, str]], seed: int) -> None:
    predictions, references = (list(side) for side in zip(*pairs, strict=True))
    n = len(pairs)
    drawn = np.random.default_rng(seed).integers(0, n, size=(5, n))
    counts = np.stack([np.bincount(row, minlength=n) for row in drawn])
    values = MacroF1().statistic(predictions, references)(counts)
    expected = [MacroF1().corpus([predictions[i] for i in row], [references[i] for i in row]) for row in drawn]
    assert values == pytest.approx(expected, abs=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["exact_match", "accuracy", "macro_f1"])
@given(pairs=LABEL_PAIRS, random=st.randoms(use_true_random=False))
@settings(deadline=None)
def test_invariants(name: str, pairs: list[tuple[str, str]], random: Random) -> None:
    metric = get_metric(name)
    predictions, references = zip(*pairs, strict=True)
    shuffled = list(pairs)
    random.shuffle(shuffled)
    score = metric.corpus(predictions, references)
    assert 0.0 <= score <= 1.0
    assert metric.corpus(references, references) == 1.0
    assert metric.corpus(*zip(*shuffled, strict=True)) == score
    assert all(metric.item(p, r) == metric.item(r, p) for p, r in pairs)
    if metric.decomposable:
        assert score == pytest.approx(np.mean(item_scores(metric, predictions, references)), abs=1e-12)


def test_declared_properties() -> None:
    assert get_metric("accuracy").binary and get_metric("accuracy").decomposable
    assert not get_metric("macro_f1").binary and not get_metric("macro_f1").decomposable
    assert isinstance(get_metric("macro_f1"), CorpusMetric)
    assert not isinstance(get_metric("accuracy"), CorpusMetric)


@pytest.mark.parametrize("name", ["accuracy", "macro_f1"])
def test_sets_that_cannot_be_scored(name: str) -> None:
    with pytest.raises(DataError, match="2 predictions for 1 references"):
        get_metric(name).corpus(["a", "b"], ["a"])
    with pytest.raises(DataError, match="no items"):
        get_metric(name).corpus([], [])
