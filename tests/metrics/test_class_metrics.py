"""Micro-F1, balanced accuracy and Matthews correlation: by hand, against scikit-learn, and over resamples."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score, f1_score, matthews_corrcoef

from pipeline.core.errors import DataError
from pipeline.metrics import CorpusMetric, get_metric

PAIRS = st.lists(st.tuples(st.sampled_from("abcd?"), st.sampled_from("abcd")), min_size=1, max_size=30)
NAMES = ("micro_f1", "balanced_accuracy", "mcc")


def metric(name: str) -> CorpusMetric:
    found = get_metric(name)
    assert isinstance(found, CorpusMetric)
    return found


@pytest.mark.parametrize(
    ("name", "value"),
    [
        # Right: a, a, b. Classes a (3) and b (1). "z" is no class: TP 3, FN 1, FP 0, so 6 / (6 + 1).
        ("micro_f1", 6 / 7),
        # Recalls 2/3 and 1.
        ("balanced_accuracy", 5 / 6),
        # s 4, c 3; guessed a 2, b 1, z 1; meant a 3, b 1: (3*4 - (6 + 1)) / sqrt((16 - 6) (16 - 10)) = 5 / sqrt(60)
        ("mcc", 5 / 60**0.5),
    ],
)
def test_by_hand(name: str, value: float) -> None:
    assert metric(name).corpus(["a", "A ", "z", "b"], ["a", "a", "a", "b"]) == pytest.approx(value)


@pytest.mark.slow
@given(PAIRS)
def test_as_scikit_learn(pairs: list[tuple[str, str]]) -> None:
    said, meant = ([pair[side] for pair in pairs] for side in (0, 1))
    expected: dict[str, Any] = {
        "micro_f1": f1_score(meant, said, labels=sorted(set(meant)), average="micro", zero_division=0),
    }
    if len({*said, *meant}) > 1:  # of one label scikit-learn warns, as of labels that only one side has
        expected["mcc"] = matthews_corrcoef(meant, said)
    if set(said) <= set(meant) and len(set(meant)) > 1:
        expected["balanced_accuracy"] = balanced_accuracy_score(meant, said)
    for name, value in expected.items():
        assert metric(name).corpus(said, meant) == pytest.approx(float(value), abs=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
@given(pairs=PAIRS, seed=st.integers(0, 99))
def test_a_resample_is_scored_as_the_set_that_it_is(name: str, pairs: list[tuple[str, str]], seed: int) -> None:
    said, meant = ([pair[side] for pair in pairs] for side in (0, 1))
    drawn = np.random.default_rng(seed).integers(0, len(pairs), len(pairs))
    counts = np.bincount(drawn, minlength=len(pairs))[None, :]
    resampled = metric(name).corpus([said[place] for place in drawn], [meant[place] for place in drawn])
    assert metric(name).statistic(said, meant)(counts)[0] == pytest.approx(resampled, abs=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_has_no_score(name: str) -> None:
    with pytest.raises(DataError, match="no items"):
        metric(name).corpus([], [])
