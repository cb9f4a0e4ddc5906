from __future__ import annotations

from dataclasses import replace

import pytest

from pipeline.plan.architecture import Architecture
from pipeline.plan.hardware import broken_constraints, choose, largest_batch
from pipeline.plan.known_models import KNOWN
from pipeline.plan.memory import Footprint, estimate_memory, needed
from pipeline.plan.prices import GPUS, Gpu
from pipeline.plan.throughput import (
    START_SECONDS,
    Work,
    answering_operations,
    cpu_seconds,
    gpu_seconds,
    training_operations,
)
from schemas.plan import Constraints

TINY = Architecture("llama", 1, 8, 2, 1, 4, 16, 100, tied=False, context=64)
LARGE = KNOWN["meta-llama/Llama-3.3-70B"]


def work(**changes: object) -> Work:
    values: dict[str, object] = {
        "architecture": TINY,
        "adapter": "full",
        "trainable": 2200,
        "training_tokens": 1000,
        "steps": 10,
        "mean_length": 10.0,
        "gradient_checkpointing": False,
        "seeds": 1,
        "reference": False,
        "evaluations": 2,
        "answered_tokens": 100,
        "variants": 0,
        **changes,
    }
    return Work(**values)  # type: ignore[arg-type]


def footprint(**changes: object) -> Footprint:
    values: dict[str, object] = {
        "architecture": LARGE,
        "adapter": "qlora",
        "trainable": 200_000_000,
        "length": 1024,
        "batch": 1,
        "gradient_checkpointing": True,
        "bf16": True,
        **changes,
    }
    return Footprint(**values)  # type: ignore[arg-type]


def test_operations_by_hand() -> None:
    # 1400 parameters multiply: 6 * 1400 = 8400; attention 12 * 1 layer * 8 wide * 10 tokens = 960; 1000 tokens.
    assert training_operations(work()) == (8400 + 960) * 1000
    # Frozen: 4 * 1400 + 6 * 256 = 7136.
    assert training_operations(work(adapter="lora", trainable=256)) == (7136 + 960) * 1000
    assert training_operations(work(gradient_checkpointing=True)) == (8400 + 2800 + 960) * 1000
    assert training_operations(work(padding=1.5)) == 1.5 * (8400 + 960) * 1000
    assert training_operations(work(reference=True)) == (8400 + 2800 + 960) * 1000
    # Two evaluations of 100 tokens forward; a variant looks at 128 rows of 10 tokens.
    assert answering_operations(work()) == 2 * 1400 * 200
    assert answering_operations(work(variants=1)) == 2 * 1400 * (200 + 1280)


def test_a_small_model_is_bound_by_its_steps() -> None:
    gpu = Gpu("A", 0.001, 10**10, 100.0)
    # Ten steps of one layer; recomputation launches its forward pass again.
    assert gpu_seconds(work(), gpu, 1) == pytest.approx(10 * 0.0043 + START_SECONDS, abs=1e-4)
    recomputed = work(gradient_checkpointing=True, adapter="lora", trainable=256)
    assert gpu_seconds(recomputed, gpu, 1) == pytest.approx(10 * 0.0063 * 1.9 + START_SECONDS, abs=1e-4)


def test_seconds_and_dollars_by_hand() -> None:
    # 1e10 tokens * 9360 operations = 9.36e13; at 100 TFLOPS * 0.35 that is 2.674 s, more than its 10 steps.
    gpu = Gpu("A", 0.001, 10**10, 100.0)
    size = work(training_tokens=10**10, answered_tokens=0)
    seconds = 9360e10 / (100e12 * 0.35)
    assert gpu_seconds(size, gpu, 1) == pytest.approx(seconds + START_SECONDS, rel=1e-9)
    assert gpu_seconds(replace(size, seeds=3), gpu, 1) == pytest.approx(3 * (seconds + START_SECONDS), rel=1e-9)
    # Beside the GPU: 4 cores and 32 GiB.
    assert gpu.dollars(100, 2) == pytest.approx(200 * (0.001 + 4 * 0.0000131 + 32 * 0.00000222), rel=1e-12)


def test_cpu_seconds_of_the_measured_models() -> None:
    """16k and 4.9k tokens/s on two threads (2026-11-23): 1.0M and 5.2M parameters, float32; within a factor of two."""
    for size, speed in ((1.0e6, 8000), (5.2e6, 2450)):
        hidden = 128 if size == 1.0e6 else 256
        layers = round((size - 2048 * hidden) / (12 * hidden**2))
        model = Architecture("llama", layers, hidden, 4, 4, hidden // 4, int(8 * hidden / 3), 2048, True, 512)
        tokens = 1_000_000
        trained = work(architecture=model, trainable=model.parameters, training_tokens=tokens, answered_tokens=0)
        assert cpu_seconds(trained) == pytest.approx(tokens / speed, rel=0.6)


def test_the_cheapest_that_fits_is_recommended() -> None:
    size = work(architecture=LARGE, adapter="qlora", trainable=200_000_000, training_tokens=10**7, steps=300)
    choice = choose(footprint(), size, Constraints())
    assert choice.recommended is not None
    fitting = [option for option in choice.options if option.fits]
    assert choice.recommended.dollars == min(option.dollars for option in fitting)
    assert choice.broken == ()
    assert [option.gpu for option in choice.options] == [gpu.name for gpu in GPUS]
    for option in fitting:
        gpu = next(gpu for gpu in GPUS if gpu.name == option.gpu)
        assert option.memory_bytes <= gpu.memory
        one = needed(estimate_memory(replace(footprint(), bf16=gpu.has_bf16)))
        assert (option.count == 1) == (one <= gpu.memory)


def test_a_gpu_type_that_keeps_the_constraints_is_taken_before_a_cheaper_one() -> None:
    size = work(architecture=LARGE, adapter="qlora", trainable=200_000_000, training_tokens=10**8, steps=300)
    free = choose(footprint(), size, Constraints())
    assert free.recommended is not None
    fastest = min((option for option in free.options if option.fits), key=lambda option: option.seconds)
    hours = fastest.seconds / 3600 * 1.01
    tight = choose(footprint(), size, Constraints(max_hours=hours))
    assert tight.recommended == fastest
    assert tight.broken == ()


def test_constraints_that_nothing_keeps_are_named_with_their_numbers() -> None:
    size = work(architecture=LARGE, adapter="qlora", trainable=200_000_000, training_tokens=10**9, steps=300)
    choice = choose(footprint(), size, Constraints(max_cost=1.0, max_gpu_hours=0.5))
    assert choice.recommended is not None
    assert [text.split(" allows")[0] for text in choice.broken] == ["constraints.max_cost", "constraints.max_gpu_hours"]
    assert broken_constraints(choice.recommended, Constraints(max_hours=1e6)) == ()


def test_what_fits_nowhere_says_so() -> None:
    full = footprint(adapter="full", trainable=LARGE.parameters * 20, architecture=LARGE)
    choice = choose(full, work(), Constraints())
    assert choice.recommended is None
    assert "not even eight" in choice.broken[0]
    # Eight in one container, of the A10 four.
    assert [option.count for option in choice.options] == [4 if gpu.name == "A10" else 8 for gpu in GPUS]
    assert not any(option.fits for option in choice.options)


def test_the_largest_batch_is_a_power_of_two_that_fits() -> None:
    size = work(architecture=LARGE, adapter="qlora", trainable=200_000_000)
    shape = footprint()
    choice = choose(shape, size, Constraints())
    assert choice.recommended is not None
    gpu = next(gpu for gpu in GPUS if gpu.name == choice.recommended.gpu)
    batch = largest_batch(shape, choice.recommended, 1 << 20)
    own = replace(shape, bf16=gpu.has_bf16)
    assert needed(estimate_memory(replace(own, batch=batch), choice.recommended.count)) <= gpu.memory
    assert needed(estimate_memory(replace(own, batch=2 * batch), choice.recommended.count)) > gpu.memory
    assert largest_batch(shape, choice.recommended, 3) == 2
