"""The gate's simulation in little."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.gate import GAIN, WORLDS, measure, rows, trial
from pipeline.statistics import mcnemar_power
from schemas.register import GateOptions


def test_the_split_is_as_large_as_the_plan_asks_for() -> None:
    # Of models that err independently at 60% and 66%: .6 * .34 + .66 * .4 = .468 of the items differ.
    # The test of the gain alone needs 1,050 rows, and the variant's condition some more.
    assert 0.8 <= mcnemar_power(rows(), GAIN, 0.468) <= 0.82


def test_every_condition_of_the_gate_is_simulated() -> None:
    decision = trial(WORLDS[1], np.random.default_rng(0), GateOptions(resamples=1000))
    assert [condition.name for condition in decision.conditions] == [
        "gain",
        "target.exact_match",
        "protected.slice.short",
        "protected.slice.long",
        "contamination",
        "retention.old",
        "variant.w4a16",
        "parity.prompts",
        "parity.answers",
    ]


@pytest.mark.slow
def test_the_gate_is_seldom_wrong() -> None:
    # Of 60 trials at 2.5% eight or more, and at 80% fewer than 36, happen in fewer than 1 in 10,000 seeds.
    found = measure(60)
    worst, planned, with_a_bad_variant = found["promoted"].values()
    assert worst <= 7 / 60
    assert planned >= 36 / 60
    assert with_a_bad_variant <= 1 / 60 and found["variant_caught"] >= 59 / 60
