"""BERTScore: matching by hand, and what a metric must hold."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.errors import ConfigError
from pipeline.metrics.bert_score import BertScore, match


def vectors(*angles: float) -> Any:
    """Return unit vectors in a plane, by their angle in degrees."""
    return np.array([[math.cos(math.radians(a)), math.sin(math.radians(a))] for a in angles], dtype=np.float32)


def test_matching_by_hand() -> None:
    # Candidate at 0 and 90 degrees, reference at 60 and 90. Precision: max(cos 60, cos 90) = 0.5 and 1, mean 0.75.
    # Recall: 60 degrees is nearest to 90, cos 30 = 0.8660; 90 is met, 1: mean 0.9330. F1 = 2 P R / (P + R).
    precision, recall = 0.75, (1 + math.sqrt(3) / 2) / 2
    expected = 2 * precision * recall / (precision + recall)
    assert match(vectors(0, 90), vectors(60, 90)) == pytest.approx(expected, abs=1e-6)


def test_what_points_the_other_way_or_says_nothing_scores_zero() -> None:
    assert match(vectors(0), vectors(180)) == 0.0
    assert match(np.zeros((0, 2), dtype=np.float32), vectors(10)) == 0.0


@given(st.lists(st.floats(0, 360), min_size=1, max_size=6), st.lists(st.floats(0, 360), min_size=1, max_size=6))
def test_it_is_symmetric_and_a_share(one: list[float], other: list[float]) -> None:
    here, there = vectors(*one), vectors(*other)
    assert match(here, there) == pytest.approx(match(there, here), abs=1e-6)
    assert 0.0 <= match(here, there) <= 1.0
    assert match(here, here) == pytest.approx(1.0, abs=1e-5)


class Letters:
    """Embeds each letter as an axis of its own."""

    def embed(self, texts: Sequence[str]) -> list[Any]:
        return [np.array([np.eye(26, dtype=np.float32)[ord(letter) - 97] for letter in text]) for text in texts]


def test_items_are_scored_in_order_whatever_the_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.metrics.bert_score._PORTION", 2)
    metric = BertScore("m", layer=3)
    asked: list[Any] = []

    def load(*told: Any) -> Letters:
        asked.append(told)
        return Letters()

    metric.connect(load, Path("folder"))
    assert asked == [(Path("folder"), 3, "evaluate.metrics.bert_score")]
    # "ab" against "ac": one of two letters is met on each side.
    assert metric.items(["ab", "ab", "x"], ["ab", "ac", "y"]) == pytest.approx([1.0, 0.5, 0.0])
    assert metric.item("ab", "ac") == pytest.approx(0.5)
    assert metric.corpus(["ab", "x"], ["ab", "y"]) == pytest.approx(0.5)


def test_without_a_model_it_says_so() -> None:
    with pytest.raises(ConfigError, match="no model is loaded"):
        BertScore("m").item("a", "b")
