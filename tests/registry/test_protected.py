"""What the gate protects: found by default, named in the gate, and corrected together."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.registry.protected import Protected, _fine_enough, protect
from schemas.artifacts import Stored
from schemas.evaluate import EvaluateArtifact
from schemas.register import GateOptions
from tests.registry.builders import evaluation

GATE = GateOptions(resamples=2000)

NEAR = [True] * 10 + [False] * 30


def sides(folder: Path) -> tuple[tuple[str, Stored[EvaluateArtifact]], tuple[str, Stored[EvaluateArtifact]]]:
    """40 items: the model has all 10 near ones and 20 of 30 others, the baseline none and 18 (all of them the model's).

    By ``validity`` the model loses 12 items that the baseline has, by ``macro`` none.
    """
    model = evaluation(
        folder / "model",
        [1] * 10 + [1] * 20 + [0] * 10,
        others={"validity": [0] * 12 + [1] * 28, "macro": [1] * 40},
        near=NEAR,
    )
    base = evaluation(
        folder / "base",
        [0] * 10 + [1] * 18 + [0] * 12,
        others={"validity": [1] * 40, "macro": [1] * 40, "only_here": [1] * 40},
        near=NEAR,
    )
    return ("seed-0", model), ("base", base)


def by_name(found: tuple[Protected, ...]) -> dict[tuple[str, str], Protected]:
    return {(each.kind, each.name): each for each in found}


def test_by_default_every_other_metric_and_every_slice_is_protected(tmp_path: Path) -> None:
    found = by_name(protect(GATE, "exact_match", *sides(tmp_path)))
    assert set(found) == {("metric", "macro"), ("metric", "validity"), ("slice", "clean"), ("slice", "near_train")}
    near, clean = found["slice", "near_train"].comparison, found["slice", "clean"].comparison
    assert near is not None and clean is not None
    assert (near.n, near.difference, near.part) == (10, 1.0, "near_train")
    # 20 and 18 of 30.
    assert (clean.n, clean.difference) == (30, pytest.approx(2 / 30, abs=1e-12))
    assert (clean.only_candidate, clean.only_reference) == (2, 0)


def test_p_values_are_corrected_over_all_that_is_protected(tmp_path: Path) -> None:
    found = by_name(protect(GATE, "exact_match", *sides(tmp_path)))
    # Exact McNemar: 12 of 12 discordant one way 2 * 2^-12, 10 of 10 2 * 2^-10, 2 of 2 1/2, none 1. Holm multiplies the
    # smallest by 4, the next by 3, then by 2 and 1, each at least the one before, at most 1.
    expected = {
        ("metric", "validity"): 4 * 2 / 2**12,
        ("slice", "near_train"): 3 * 2 / 2**10,
        ("slice", "clean"): 1.0,
        ("metric", "macro"): 1.0,
    }
    assert {key: each.adjusted for key, each in found.items()} == pytest.approx(expected, abs=1e-12)


def test_what_is_named_is_protected_and_nothing_else(tmp_path: Path) -> None:
    gate = GATE.model_copy(update={"protected_metrics": ("validity", "only_here"), "protected_slices": ()})
    found = by_name(protect(gate, "exact_match", *sides(tmp_path)))
    assert set(found) == {("metric", "validity"), ("metric", "only_here")}
    assert found["metric", "only_here"].comparison is None
    validity = found["metric", "validity"]
    assert validity.comparison is not None and validity.comparison.difference == pytest.approx(-0.3, abs=1e-12)
    assert validity.adjusted == pytest.approx(2 / 2**12, abs=1e-12)


def test_resamples_are_fine_enough_for_the_correction() -> None:
    # 60 tests at level 0.05: the least p-value, 1 / 2401, times 60 is 0.025.
    assert _fine_enough(GateOptions(resamples=1000), 60).resamples == 2400
    assert _fine_enough(GateOptions(), 2).resamples == 10_000


def test_of_one_class_what_its_items_score_is_compared(tmp_path: Path) -> None:
    """A correlation is 0 where all references are alike, however many items are right."""
    right = evaluation(tmp_path / "a", [1] * 40, metric="mcc", references=["x"] * 40, near=NEAR)
    wrong = evaluation(tmp_path / "b", [0] * 40, metric="mcc", references=["x"] * 40, near=NEAR)
    found = by_name(protect(GATE, "mcc", ("seed-0", wrong), ("base", right)))
    lost = found["slice", "clean"]
    assert lost.comparison is not None
    assert (lost.comparison.candidate_value, lost.comparison.reference_value) == (0.0, 1.0)
    assert lost.adjusted < 0.001
