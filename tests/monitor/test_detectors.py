"""Each detector sees the shift that it is for, and says how large it is."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pipeline.monitor.detectors.embedding import gaussian_kernel
from pipeline.monitor.detectors.labels import stability_index
from pipeline.monitor.detectors.vocabulary import words_of
from pipeline.monitor.found import Found, weights
from pipeline.monitor.hashed import HashedEmbedder
from pipeline.monitor.registry import DETECTORS
from pipeline.monitor.rows import Row
from pipeline.monitor.windows import Items, Windows
from schemas.monitor import DetectorName
from tests.monitor.rows import rows

ALL: tuple[DetectorName, ...] = tuple(DETECTORS)


def found(name: DetectorName, reference: list[Row], current: list[Row]) -> Found:
    answer = DETECTORS[name].detect(Windows(reference, current, HashedEmbedder()))
    assert isinstance(answer, Found), answer
    return answer


SHIFTS: dict[DetectorName, Any] = {
    "input_length": lambda row: replace(row, input_length=row.input_length + 15),
    "output_length": lambda row: replace(row, output_length=row.output_length + 3),
    "labels": lambda row: replace(row, output="refund" if row.output == "login" else row.output),
    "confidence": lambda row: replace(row, confidence=row.confidence - 0.2),
    "errors": lambda row: replace(row, failed=len(row.input) % 3 == 0),
    "refusals": lambda row: replace(row, refused=len(row.input) % 3 == 0),
    "feedback": lambda row: replace(row, score=row.score if len(row.input) % 2 else 0.0),
}


@pytest.mark.parametrize("name", ALL)
def test_a_shift_is_seen_and_none_is_not(name: DetectorName) -> None:
    reference, same = rows(200, seed=1), rows(80, seed=2)
    shift = SHIFTS.get(name)
    shifted = rows(80, "travel", seed=3) if shift is None else [shift(row) for row in same]
    assert found(name, reference, shifted).p_value <= 0.001
    assert found(name, reference, same).p_value > 0.01


@pytest.mark.parametrize("name", ["errors", "refusals", "feedback"])
def test_what_becomes_better_is_no_drift(name: DetectorName) -> None:
    worse = [replace(row, failed=True, refused=True, score=0.0) for row in rows(60, seed=1)]
    better = [replace(row, failed=False, refused=False, score=1.0) for row in rows(60, seed=2)]
    assert found(name, worse, better).p_value > 0.9
    assert found(name, better, worse).p_value < 0.001


def test_the_stability_index_is_siddiqis() -> None:
    # Two labels, 3 and 1 answers before, 1 and 3 now; half an answer more each: shares 3.5/5, 1.5/5 and the reverse.
    # (0.3 - 0.7) ln(0.3 / 0.7) + (0.7 - 0.3) ln(0.7 / 0.3) = 0.8 ln(7/3)
    values = tuple(frozenset({label}) for label in "aaababbb")
    items = Items(values, np.array([False] * 4 + [True] * 4), np.arange(8))
    assert stability_index(items, ["a", "b"]) == pytest.approx(0.8 * math.log(7 / 3), abs=1e-12)


def test_the_distance_of_lengths_is_that_of_their_distribution_functions() -> None:
    # Of 1, 2, 3, 4 half are at most 2; of 3, 4, 5, 6 none: the distance is 1/2.
    sides = [[Row(str(n), input_length=n) for n in numbers] for numbers in ((1, 2, 3, 4), (3, 4, 5, 6))]
    answer = found("input_length", *sides)
    assert (answer.effect, answer.reference, answer.current) == (0.5, 2.5, 4.5)


def test_the_anderson_darling_statistic_of_the_lengths() -> None:
    # Values 1 | 2 pooled, one of each sample. At 1 the mass is 1/2 and the middle 1/4, half of the first sample lies
    # below: difference 1/2. At 2 the middle is 3/4, the first lies below with 1, the second with 1/2: difference 1/2.
    # Sum of mass * difference^2 / (middle (1 - middle)) = 2 * (1/2 * 1/4) / (3/16) = 4/3.
    sides = [[Row("a", input_length=1)], [Row("b", input_length=2)]]
    assert found("input_length", *sides).statistic == pytest.approx(4 / 3, rel=1e-6)


def test_the_discrepancy_is_grettons_biased_estimate() -> None:
    windows = Windows(rows(30, seed=1), rows(20, "travel", seed=1), HashedEmbedder())
    kernel = gaussian_kernel(windows.vectors).astype(float)
    first, second = slice(0, 30), slice(30, 50)
    by_hand = kernel[first, first].mean() + kernel[second, second].mean() - 2 * kernel[first, second].mean()
    answer = DETECTORS["embedding"].detect(windows)
    assert isinstance(answer, Found)
    assert answer.statistic == pytest.approx(by_hand, rel=1e-4)
    assert answer.effect == pytest.approx(by_hand**0.5, rel=1e-4)


def test_weights_give_the_difference_of_means_over_items() -> None:
    # Units of 2, 1 and 3 items with sums 4, 1 and 9. The last two are now: (1 + 9) / 4 - 4 / 2 = 0.5.
    deals, sizes = np.array([[0, 1, 1]], dtype=np.float32), np.array([2, 1, 3], dtype=np.float32)
    assert (weights(deals, sizes) @ np.array([4, 1, 9], dtype=np.float32)).tolist() == [0.5]


def test_answers_that_are_texts_have_no_labels() -> None:
    texts = [[replace(row, output=f"{row.input} {row.id}") for row in rows(60, seed=seed)] for seed in (1, 2)]
    answer = DETECTORS["labels"].detect(Windows(*texts, HashedEmbedder()))
    assert answer == "answers are texts, not labels"


def test_fields_of_records_are_labels() -> None:
    before = [replace(row, output=f'{{"intent": "{row.output}", "urgency": "low"}}') for row in rows(200, seed=1)]
    now = [replace(row, output=f'{{"intent": "{row.output}", "urgency": "high"}}') for row in rows(60, seed=2)]
    answer = found("labels", before, now)
    assert answer.p_value < 0.001
    assert {bar.label for bar in answer.bars[:2]} == {'urgency="low"', 'urgency="high"'}
    assert {(bar.reference, bar.current) for bar in answer.bars[:2]} == {(1.0, 0.0), (0.0, 1.0)}


def test_new_words_are_named_and_counted() -> None:
    answer = found("vocabulary", rows(100, seed=1), rows(60, "travel", seed=1))
    assert {bar.label for bar in answer.bars} <= words_of(" ".join(row.input or "" for row in _both()))
    assert 0.7 < answer.effect < 1.0  # "please" is known, and stands once in three to eight words


def _both() -> list[Row]:
    return rows(100, seed=1) + rows(60, "travel", seed=1)


def test_users_are_dealt_whole() -> None:
    """One user who asks sixty times about travel is no drift; sixty users are."""
    reference, others = rows(200, seed=1), rows(60, seed=2)
    travel = rows(60, "travel", seed=3)
    one_user = [*others, *(replace(row, unit="u") for row in travel)]
    many = [*others, *(replace(row, unit=f"u{place}") for place, row in enumerate(travel))]
    for name in ("vocabulary", "embedding"):
        assert found(name, reference, many).p_value < 0.001
        # The one user is dealt to the 61 units of now in 61 of 261 deals, so no p-value is far below that.
        assert found(name, reference, one_user).p_value > 0.02


def test_a_unit_in_both_windows_is_two() -> None:
    row = Row("a", unit="u", score=1.0)
    items = Windows([row, row], [row], HashedEmbedder()).items(lambda row: row.score)
    assert items.units.tolist() == [0, 0, 1]
    assert items.part.tolist() == [False, True]
    assert items.sizes.tolist() == [2, 1]
