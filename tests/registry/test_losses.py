"""The words for a loss that is, is not, or cannot be shown to be small."""

from __future__ import annotations

import pytest

from pipeline.registry.losses import Loss, retention_condition, variant_condition
from schemas.register import Condition
from tests.registry.test_gate import comparison


def variant(
    difference: float, low: float, n: int, clusters: int | None = None, merge_difference: float | None = None
) -> Condition:
    measured = comparison(difference, 1.0, n=n, clusters=clusters)
    loss = Loss("merged", 0.02, measured, low, merge_difference=merge_difference)
    return variant_condition(loss, alpha=0.05)


@pytest.mark.parametrize(
    ("condition", "passed", "says"),
    [
        (variant(0.0, -0.02, 149), True, "no worse than -2.0 points, within the margin of 2.0 points."),
        (
            variant(0.0, -0.05, 60),
            False,
            "beyond the margin of 2.0 points: 60 items cannot show this; at least 149 would.",
        ),
        (
            variant(0.0, -0.05, 400, clusters=60),
            False,
            ": 400 items in 60 clusters of related ones cannot show this; at least 149 clusters would.",
        ),
        (variant(0.0, -1.0, 1), False, ": 1 item cannot show this; at least 149 would."),
        (
            variant(-0.01, -0.03, 200),
            False,
            "beyond the margin of 2.0 points; the change itself is within it, more items would say more.",
        ),
        (variant(-0.03, -0.05, 60), False, "no worse than -5.0 points, beyond the margin of 2.0 points."),
        (
            variant(0.0, -0.05, 60, merge_difference=3e-7),
            True,
            "every answer is its parent's to the letter, and no logit differs by more than 3.0e-07 of the largest.",
        ),
    ],
)
def test_verdicts(condition: Condition, passed: bool, says: str) -> None:
    assert condition.passed is passed
    assert condition.text.endswith(says)


@pytest.mark.parametrize("margin", [0.0, 1.0])
def test_no_number_of_items_is_named_for_a_margin_that_none_fits(margin: float) -> None:
    loss = Loss("w4a16", margin, comparison(0.0, n=10), -1.01)
    assert "would" not in variant_condition(loss, alpha=0.05).text


@pytest.mark.parametrize(("base_low", "passed"), [(0.0, False), (0.03, False), (0.031, True), (None, True)])
def test_a_base_that_could_lose_no_more_than_the_margin_shows_no_retention(
    base_low: float | None, passed: bool
) -> None:
    loss = Loss("old", 0.03, comparison(0.0), 0.0, base_low=base_low)
    assert retention_condition(loss, alpha=0.05).passed is passed
