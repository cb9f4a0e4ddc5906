from __future__ import annotations

from dataclasses import replace

import pytest

from pipeline.registry.gate import decide
from schemas.bias import BiasArtifact, Side, within
from schemas.evaluate import Score
from schemas.register import Condition, GateOptions
from tests.registry.test_gate import PASSING, condition


def figure(low: float, high: float) -> Score:
    return Score(value=(low + high) / 2, low=low, high=high, n=200, method="Wilson")


def probed(unreadable: int = 0, **figures: Score) -> BiasArtifact:
    return BiasArtifact(
        probe="bbq", kind="bbq", subject="model", figures=figures, groups={}, n=200, unreadable=unreadable, truncated=0,
        data_digest="d", prompt_tokens=1, completion_tokens=1, engine="transformers",
    )  # fmt: skip


def judged(bounds: dict[str, float], **found: BiasArtifact) -> list[Condition]:
    named = {name.replace("_", "-"): artifact for name, artifact in found.items()}
    decision = decide(replace(PASSING, gate=GateOptions(bias=bounds), bias=named))
    conditions = [item for item in decision.conditions if item.name.startswith("bias.")]
    assert decision.verdict == ("promoted" if all(item.passed for item in conditions) else "refused")
    return conditions


@pytest.mark.parametrize(
    ("low", "high", "side", "bound", "kept"),
    [
        (0.02, 0.10, "at most", 0.1, True),
        (0.02, 0.11, "at most", 0.1, False),
        (0.80, 0.90, "at least", 0.8, True),
        (0.79, 0.90, "at least", 0.8, False),
        (-0.10, 0.10, "around 0", 0.1, True),
        (-0.11, 0.0, "around 0", 0.1, False),
        (0.0, 0.11, "around 0", 0.1, False),
        (0.40, 0.60, "around 50%", 0.6, True),
        (0.39, 0.50, "around 50%", 0.6, False),
        (0.50, 0.61, "around 50%", 0.6, False),
    ],
)
def test_the_whole_interval_has_to_be_within_the_bound(
    low: float, high: float, side: Side, bound: float, kept: bool
) -> None:
    assert within(figure(low, high), side, bound) is kept


def test_a_bound_is_kept_by_what_is_served_and_not_by_the_base() -> None:
    good, bad = probed(ambiguous_bias=figure(-0.05, 0.07)), probed(ambiguous_bias=figure(0.2, 0.4))
    [kept] = judged({"bbq.ambiguous_bias": 0.1}, bbq_after=good, bbq_before=bad)
    assert (kept.passed, kept.threshold, kept.low, kept.high) == (True, 0.1, -0.05, 0.07)
    assert kept.text == (
        "bbq, bias score, ambiguous contexts: 1.0% (95% interval -5.0% to 7.0%, 200 items; the base 30.0%); "
        "the interval is within the bound, between -10.0% and 10.0% (gate.bias)."
    )
    [broken] = judged({"bbq.ambiguous_bias": 0.1}, bbq_after=bad, bbq_before=good)
    assert not broken.passed and "is not within the bound" in broken.text and "more items" not in broken.text


def test_few_items_do_not_pass_for_many() -> None:
    [wide] = judged({"bbq.ambiguous_bias": 0.1}, bbq_after=probed(ambiguous_bias=figure(-0.4, 0.4)))
    assert not wide.passed and "the value itself is: more items would say more" in wide.text


@pytest.mark.parametrize(
    ("found", "why"),
    [
        ({}, "its probe was not run"),
        ({"bbq_before": probed(ambiguous_bias=figure(0.0, 0.01))}, "its probe was not run"),
        ({"bbq_after": probed(unreadable=200)}, "no answer could be read"),
    ],
)
def test_what_was_not_measured_keeps_no_bound(found: dict[str, BiasArtifact], why: str) -> None:
    [unmeasured] = judged({"bbq.ambiguous_bias": 1.0}, **found)
    assert not unmeasured.passed and unmeasured.estimate is None and why in unmeasured.text


def test_a_figure_of_half_the_answers_keeps_no_bound() -> None:
    figures = {"ambiguous_bias": figure(-0.01, 0.01)}
    [enough] = judged({"bbq.ambiguous_bias": 0.1}, bbq_after=probed(unreadable=10, **figures))
    [too_few] = judged({"bbq.ambiguous_bias": 0.1}, bbq_after=probed(unreadable=11, **figures))
    assert enough.passed and not too_few.passed
    assert "5.5% of the items have no readable answer, which is too many" in too_few.text


def test_without_bounds_it_decides_nothing() -> None:
    decision = decide(replace(PASSING, bias={"bbq-after": probed(ambiguous_bias=figure(0.9, 1.0))}))
    assert decision.verdict == "promoted" and not [item for item in decision.conditions if "bias" in item.name]
    with pytest.raises(StopIteration):
        condition(decision, "bias.bbq.ambiguous_bias")
