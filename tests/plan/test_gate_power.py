"""The simulated gate against exact power, against the bound of the real gate, and against what is known by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.plan.gate_power import TRIALS, SimulatedGate, estimate_gate, non_inferior
from pipeline.statistics import mcnemar_power, non_inferiority
from schemas.plan import GateWishes

ALONE = SimulatedGate(alpha=0.05, minimum_gain=0.0, target=None, margins={}, served=None)

NOISE = 4 * (0.25 / TRIALS) ** 0.5
"""Four standard deviations of a simulated share, at most."""


@pytest.mark.parametrize(("rows", "baseline", "gain"), [(200, 0.5, 0.1), (1050, 0.6, 0.06), (60, 0.2, 0.3)])
def test_the_gain_alone_has_the_power_of_the_exact_test(rows: int, baseline: float, gain: float) -> None:
    model = baseline + gain
    exact = mcnemar_power(rows, gain, baseline * (1 - model) + model * (1 - baseline))
    assert ALONE.promoted(rows, baseline, gain) == pytest.approx(exact, abs=NOISE)


def test_a_model_no_better_is_promoted_by_half_the_level_at_most() -> None:
    # Two-sided at 5%, so 2.5% on the better side, and the exact test keeps below it.
    assert ALONE.promoted(400, 0.6, 0.0) <= 0.025 + 4 * (0.025 / TRIALS) ** 0.5


def test_a_target_that_is_just_met_is_missed_in_half_of_all_runs() -> None:
    gate = SimulatedGate(0.05, 0.0, 0.8, {}, None)
    # 20,001 rows: no share is exactly 0.8, and the gain of 20 points is always found.
    assert gate.promoted(20_001, 0.6, 0.2) == pytest.approx(0.5, abs=NOISE)


def test_a_perfect_model_over_an_empty_baseline_by_hand() -> None:
    # Every item is won: five of five have p = 2 / 32, six of six 2 / 64.
    assert [ALONE.promoted(rows, 0.0, 1.0) for rows in (5, 6)] == [0.0, 1.0]
    found = estimate_gate(ALONE, rows=6, baseline=0.0, gain=1.0, power=0.8)
    assert (found.rows_for_gain, found.promoted) == (6, 1.0)
    # Each item is won with the score g, and all six must be: g^6 = 0.8 at 0.9635.
    assert found.least_score == pytest.approx(0.8 ** (1 / 6), abs=0.004)


@given(st.integers(2, 400), st.data())
@settings(max_examples=30, deadline=None)
def test_decisions_are_those_of_the_gate(rows: int, data: st.DataObject) -> None:
    won = data.draw(st.integers(0, rows))
    lost = data.draw(st.integers(0, rows - won))
    margin = data.draw(st.sampled_from([0.01, 0.02, 0.1]))
    same = rows - won - lost
    real = non_inferiority([1] * won + [0] * lost + [1] * same, [0] * won + [1] * lost + [1] * same, margin=margin)
    found = non_inferior(np.array([won]), np.array([lost]), rows, margin, 0.05)
    assert bool(found[0]) == real.non_inferior


@pytest.mark.slow
def test_variants_cost_rows_and_a_served_one_has_to_show_the_gain_as_well() -> None:
    needed = [
        estimate_gate(gate, rows=500, baseline=0.6, gain=0.06, power=0.8).rows_for_gain
        for gate in (
            ALONE,
            SimulatedGate(0.05, 0.0, None, {"w4a16": 0.01}, None),
            SimulatedGate(0.05, 0.0, None, {"w4a16": 0.01}, "w4a16"),
        )
    ]
    assert None not in needed
    assert needed == sorted(needed, key=lambda rows: rows or 0)
    assert len(set(needed)) == 3


def test_a_merged_model_answers_as_its_parent_and_costs_nothing() -> None:
    wishes = GateWishes(margins={"merged": 0.02, "small": 0.03}, require_target=False)
    gate = SimulatedGate.of(wishes, {"merged": "merged", "small": "W4A16"}, "merged", 0.05, 0.9)
    assert (gate.margins, gate.target) == ({"small": 0.03}, None)


def test_what_no_number_of_rows_shows() -> None:
    impossible = SimulatedGate(0.05, 0.1, None, {}, None)
    assert estimate_gate(impossible, rows=500, baseline=0.6, gain=0.1, power=0.8).rows_for_gain is None
    few = estimate_gate(ALONE, rows=5, baseline=0.5, gain=None, power=0.8)
    assert (few.promoted, few.rows_for_gain, few.least_score) == (None, None, None)
    assert estimate_gate(ALONE, rows=0, baseline=1.0, gain=0.1, power=0.8).least_score is None


@given(st.floats(0.0, 0.9), st.floats(0.05, 0.5), st.floats(0.0, 0.03))
@settings(max_examples=10, deadline=None)
def test_more_conditions_never_promote_more(baseline: float, gain: float, minimum: float) -> None:
    gain = min(gain, 1 - baseline)
    strict = SimulatedGate(0.05, minimum, baseline + gain / 2, {"w4a16": 0.02}, "w4a16")
    assert strict.promoted(300, baseline, gain) <= ALONE.promoted(300, baseline, gain)
    assert strict.promoted(300, baseline, gain) == strict.promoted(300, baseline, gain)
