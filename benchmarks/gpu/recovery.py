"""Out of memory on a real GPU: the train stage goes on with smaller micro-batches, the evaluate stage with fewer rows.

This process may take only a part of the card, so that what is asked of it does not fit at first.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks.gpu.gauge import allocated, peak, reset
from benchmarks.gpu.shapes import Shape
from benchmarks.gpu.sizes import Sized, asked
from benchmarks.gpu.work import Record, done, here, tried
from pipeline.core.workspace import Store
from pipeline.plan.prices import GIB
from schemas.artifacts import StageCall
from schemas.base import Device

PART = "recovery"
MODEL = "Qwen/Qwen3-0.6B"
LIMIT = 14 * GIB
SHAPE = Shape("lora", 1024, 16)


def run(work: Path, device: Device) -> Iterator[Record]:
    """Yield what became of a training and an evaluation that did not fit."""
    sized = Sized.make(MODEL, work, device)
    shape = SHAPE
    if device == "cuda":
        import torch

        torch.cuda.set_per_process_memory_fraction(LIMIT / torch.cuda.get_device_properties(0).total_memory)
    else:
        shape = Shape("lora", 64, 4)
    yield tried(PART, "training", lambda: _train(sized, shape))
    yield tried(PART, "answering", lambda: _answer(sized, 256 if device == "cuda" else 8))


def _train(sized: Sized, shape: Shape) -> Record:
    call = sized.call(shape, steps=4)
    reset()
    before = allocated()
    attempt = done(here(call, sized.root, sized.device))
    highest = peak() - before
    reset()
    manifest = Store(sized.root).manifest(attempt.ref)
    assert manifest is not None
    made = manifest.artifact
    return {
        "limit": LIMIT,
        "asked_micro_batch": shape.batch,
        "micro_batch": made["micro_batch"],
        "accumulation": made["accumulation"],
        "steps": made["steps"],
        "recoveries": [event.message for event in attempt.events if event.kind == "recovery"],
        "peak": highest,
        "left": allocated() - before,
    }


def _answer(sized: Sized, batch: int) -> Record:
    data = asked(
        sized, "long", [{"prompt": f"{number} " + "word " * 1000, "completion": "x"} for number in range(batch)]
    )
    config = {
        "subject": {"kind": "base"},
        "base": sized.base,
        "metrics": [{"name": "exact_match"}],
        "generation": {"max_new_tokens": 4, "batch_size": batch},
    }
    call = StageCall(id="evaluate.base", stage="evaluate", config=config, inputs={"data": data})
    attempt = done(here(call, sized.root, sized.device))
    return {
        "limit": LIMIT,
        "asked_batch": batch,
        "recoveries": [event.message for event in attempt.events if event.kind == "recovery"],
        "seconds": attempt.seconds,
    }
