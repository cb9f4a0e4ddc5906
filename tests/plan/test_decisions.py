from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.plan.decisions import (
    Situation,
    decide_batch,
    decide_epochs,
    decide_learning_rate,
    decide_max_length,
    decide_rank,
    effective_batch,
)
from pipeline.plan.power import estimate_power
from schemas.lora import LoraSpec
from schemas.train import TrainSpec

USUAL = Situation(
    task="classification",
    train_rows=7000,
    parameters=8_000_000_000,
    from_scratch=False,
    context=8192,
    p99_tokens=100.0,
    longest_tokens=120,
    sampled=500,
    measured=True,
)


def test_what_the_description_says_is_taken_and_said() -> None:
    spec = TrainSpec(
        learning_rate=0.5,
        num_train_epochs=7,
        max_length=33,
        per_device_train_batch_size=3,
        gradient_accumulation_steps=5,
        lora=LoraSpec(r=5, lora_alpha=6),
    )
    found = {
        **decide_rank(spec, USUAL),
        "rate": decide_learning_rate(spec, USUAL),
        "epochs": decide_epochs(spec, USUAL),
        "length": decide_max_length(spec, USUAL),
        **decide_batch(spec, *effective_batch(spec, USUAL, 7), 64),
    }
    assert [reasoned.value for reasoned in found.values()] == [5, 6, 0.5, 7, 33, 3, 5]
    assert {reasoned.chosen_by for reasoned in found.values()} == {"spec"}
    assert "train.lora.r" in found["lora_r"].reason


@pytest.mark.parametrize(
    ("parameters", "lora", "full"),
    # 0.003239 - 0.0001395 ln N: 0.001312 at 1e6 and 0.0000580 at 8e9; a quarter, times ten for LoRA; 3e-5 is the floor.
    [(1_000_000, 3.3e-3, 3.3e-4), (8_000_000_000, 1.5e-4, 1.5e-5), (70_000_000_000, 7.5e-5, 7.5e-6)],
)
def test_learning_rates_by_hand(parameters: int, lora: float, full: float) -> None:
    situation = replace(USUAL, parameters=parameters)
    assert decide_learning_rate(TrainSpec(), situation).value == pytest.approx(lora, rel=1e-9)
    assert decide_learning_rate(TrainSpec(adapter="full"), situation).value == pytest.approx(full, rel=1e-9)


def test_preferences_take_a_smaller_rate_and_pretraining_a_larger() -> None:
    # 1.45e-5 / 20 = 7.2e-7: TRL's 1e-6 for full training of about this size.
    assert decide_learning_rate(TrainSpec(adapter="full", method="dpo"), USUAL).value == pytest.approx(7.3e-7, rel=0.02)
    scratch = replace(USUAL, from_scratch=True, parameters=1_000_000)
    assert decide_learning_rate(TrainSpec(adapter="full"), scratch).value == pytest.approx(1.3e-3, rel=1e-9)


@given(st.integers(1, 10**12), st.integers(1, 10**12))
def test_a_larger_base_never_gets_a_larger_rate(first: int, second: int) -> None:
    small, large = sorted((first, second))
    rates = [float(decide_learning_rate(TrainSpec(), replace(USUAL, parameters=size)).value) for size in (small, large)]
    assert rates[0] >= rates[1] > 0


@pytest.mark.parametrize(("rows", "epochs"), [(100, 5), (500, 4), (7000, 3), (100_000, 2), (10**6, 1)])
def test_more_rows_are_seen_fewer_times(rows: int, epochs: int) -> None:
    situation = replace(USUAL, train_rows=rows)
    assert decide_epochs(TrainSpec(), situation).value == epochs
    assert decide_epochs(TrainSpec(adapter="full"), replace(situation, from_scratch=True)).value == 2 * epochs


def test_ranks_follow_rows_and_task() -> None:
    assert decide_rank(TrainSpec(), replace(USUAL, train_rows=300))["lora_r"].value == 8
    assert decide_rank(TrainSpec(), USUAL)["lora_r"].value == 16
    assert decide_rank(TrainSpec(), replace(USUAL, task="generation", train_rows=50_000))["lora_r"].value == 32
    assert decide_rank(TrainSpec(lora=LoraSpec(r=12)), USUAL)["lora_alpha"].value == 24
    assert decide_rank(TrainSpec(adapter="full"), USUAL) == {}


def test_length_is_the_longest_unless_that_is_an_outlier() -> None:
    # 120 * 1.1 = 132, up to the next 64.
    assert decide_max_length(TrainSpec(), USUAL).value == 192
    # 5000 is more than twice 100: 100 * 1.1 = 110.
    outlier = decide_max_length(TrainSpec(), replace(USUAL, longest_tokens=5000))
    assert outlier.value == 128
    assert "an outlier of 5000" in outlier.reason
    # Estimated: 120 * 1.6 = 192 exactly.
    assert decide_max_length(TrainSpec(), replace(USUAL, measured=False, longest_tokens=120)).value == 192
    capped = decide_max_length(TrainSpec(), replace(USUAL, context=100))
    assert capped.value == 100
    assert "the base takes 100" in capped.reason


@pytest.mark.parametrize(("rows", "batch"), [(60, 4), (1000, 8), (7000, 64), (10**6, 64)])
def test_the_step_is_as_large_as_leaves_steps_enough(rows: int, batch: int) -> None:
    # 1000 rows * 3 epochs / 300 steps = 10: 8 is the next smaller.
    assert effective_batch(TrainSpec(), replace(USUAL, train_rows=rows), 3)[0] == batch


def test_a_batch_that_does_not_fit_is_accumulated() -> None:
    found = decide_batch(TrainSpec(), 64, "why", 8)
    assert found["per_device_train_batch_size"].value == 8
    assert found["gradient_accumulation_steps"].value == 8
    given_parts = decide_batch(TrainSpec(gradient_accumulation_steps=4), 64, "why", 8)
    assert [reasoned.value for reasoned in given_parts.values()] == [16, 4]
    given_size = decide_batch(TrainSpec(per_device_train_batch_size=16), 64, "why", 8)
    assert [reasoned.value for reasoned in given_size.values()] == [16, 4]


def test_power_grows_with_the_test_split() -> None:
    few, many = (estimate_power(n, alpha=0.05, power=0.8, target=0.85, baseline=0.62) for n in (100, 1000))
    assert few.minimum_detectable_gain is not None
    assert many.minimum_detectable_gain is not None
    assert many.minimum_detectable_gain < few.minimum_detectable_gain < 0.38
    assert few.rows_for_target == many.rows_for_target
    assert few.rows_for_target is not None
    # The rows that the gain needs detect that gain and, one in twenty fewer, a larger one only.
    at = estimate_power(few.rows_for_target, alpha=0.05, power=0.8, target=None, baseline=0.62)
    assert at.minimum_detectable_gain == pytest.approx(0.23, abs=0.01)


@pytest.mark.slow
def test_power_of_huge_test_splits_comes_at_once() -> None:
    at, beyond = (estimate_power(n, alpha=0.05, power=0.8, target=None) for n in (10**6, 10**12))
    assert at.minimum_detectable_gain is not None and beyond.minimum_detectable_gain is not None
    # A million times the rows: a thousandth of the gain.
    assert beyond.minimum_detectable_gain == pytest.approx(at.minimum_detectable_gain / 1000, abs=1e-6)
    near, far = (estimate_power(9, alpha=0.05, power=0.8, target=0.5 + gain, baseline=0.5) for gain in (0.003, 0.0029))
    assert near.rows_for_target is not None and far.rows_for_target is not None
    assert far.rows_for_target == pytest.approx(near.rows_for_target * (0.003 / 0.0029) ** 2, rel=0.01)
    tiny = estimate_power(9, alpha=0.05, power=0.8, target=0.5 + 1e-6, baseline=0.5)
    assert tiny.rows_for_target is not None and tiny.rows_for_target > 10**12


def test_power_without_what_it_needs() -> None:
    nothing = estimate_power(0, alpha=0.05, power=0.8, target=None)
    assert (nothing.minimum_detectable_gain, nothing.rows_for_target, nothing.assumed_baseline) == (None, None, 0.5)
    # Five items cannot reach p <= 0.05: the exact test's least is 2 / 2^5 = 0.0625.
    assert estimate_power(5, alpha=0.05, power=0.8, target=None).minimum_detectable_gain is None
    assert estimate_power(100, alpha=0.05, power=0.8, target=0.4).assumed_baseline == 0.2
    reached = estimate_power(100, alpha=0.05, power=0.8, target=0.5, baseline=0.6)
    assert reached.rows_for_target is None


@pytest.mark.parametrize(
    ("given", "batch", "accumulation"),
    [
        # 7,000 prompts in 300 steps are 23 each: the next smaller choice is 16, with 8 answers each
        ({}, 32, 4),
        ({"per_device_train_batch_size": 24}, 24, 6),  # 144 is the least multiple of 24 and 8 that is not below 128
        ({"gradient_accumulation_steps": 3}, 48, 3),  # 144 again
        ({"per_device_train_batch_size": 4, "gradient_accumulation_steps": 4}, 4, 4),
    ],
)
def test_a_step_holds_whole_groups_of_answers(given: dict[str, int], batch: int, accumulation: int) -> None:
    spec = TrainSpec.model_validate({"method": "grpo", "rewards": ["exact_match"], **given})
    found = decide_batch(spec, *effective_batch(spec, USUAL, 1), 60)  # of 128 answers 32 divide it and fit
    assert [reasoned.value for reasoned in found.values()] == [batch, accumulation]


def test_groups_that_are_not_whole_are_refused_before_anything() -> None:
    given = {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 3}
    with pytest.raises(ValueError, match="12 answers, which are no whole groups of 8"):
        TrainSpec.model_validate({"method": "grpo", "rewards": ["exact_match"], **given})
