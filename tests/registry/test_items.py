"""What two evaluations have to share before their scores are compared."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.core.errors import IntegrityError
from pipeline.registry.comparisons import compare_items
from pipeline.registry.items import Items, read_items
from schemas.register import GateOptions
from tests.registry.builders import evaluation

GATE = GateOptions(resamples=2000)
OWN = "./my_metric.py:score"


def scored(folder: Path, scores: list[float], said: list[str], metric: str = OWN) -> Items:
    made = evaluation(folder, scores, metric=metric, predictions=said, answers=said, references=["yes"] * len(said))
    return read_items(folder.name, made, metric)


def test_a_metric_of_ones_own_that_changes_between_evaluations_shows_no_difference_of_models(tmp_path: Path) -> None:
    base = scored(tmp_path / "base", [1.0, 0.25, 0.5], ["yes", "no", "maybe"])
    tuned = scored(tmp_path / "seed-0", [1.0, 0.75, 0.75], ["yes", "no", "no"])
    with pytest.raises(IntegrityError, match=r"0\.75 in evaluation seed-0 and 0\.25 in base") as refused:
        compare_items(tuned, base, OWN, GATE)
    assert str(refused.value.where).endswith("my_metric.py:score, item item-1")


def test_other_answers_and_other_references_may_have_other_scores(tmp_path: Path) -> None:
    base = scored(tmp_path / "base", [1.0, 0.25, 0.5], ["yes", "no", "maybe"])
    tuned = scored(tmp_path / "seed-0", [1.0, 1.0, 0.25 + 1e-12], ["yes", "yes", "no"])
    assert compare_items(tuned, base, OWN, GATE).difference == pytest.approx(0.5 / 3, abs=1e-9)


def test_metrics_of_hone_are_taken_at_their_word(tmp_path: Path) -> None:
    base = scored(tmp_path / "base", [0.25, 0.5], ["no", "maybe"], metric="bert_score")
    tuned = scored(tmp_path / "seed-0", [0.26, 0.5], ["no", "maybe"], metric="bert_score")
    assert compare_items(tuned, base, "bert_score", GATE).n == 2
