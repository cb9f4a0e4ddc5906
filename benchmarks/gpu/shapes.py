"""Which trainings are measured on a real architecture, and what the plan says of each."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from pipeline.plan.adapter import lora_parameters
from pipeline.plan.architecture import Architecture
from pipeline.plan.known_models import KNOWN
from pipeline.plan.memory import Footprint
from pipeline.plan.prices import GPUS, Gpu
from pipeline.plan.throughput import (
    GENERATION_MFU,
    MFU,
    PADDING,
    Work,
    answering_operations,
    step_floor,
    training_operations,
)
from schemas.base import Device
from schemas.lora import LoraSettings
from schemas.train import AdapterKind

LORA = LoraSettings(r=16, lora_alpha=32)
WARM = 3
"""Steps of a training that are left out of its speed."""


@dataclass(frozen=True)
class Shape:
    """One training: ``length`` tokens of every row, or of the longest where they are ``uneven``."""

    adapter: AdapterKind
    length: int
    batch: int
    checkpointing: bool = False
    uneven: bool = False

    @property
    def steps(self) -> int:
        """Optimizer steps: more where each has another length."""
        return 30 if self.uneven else 10

    def __str__(self) -> str:
        extra = (", checkpointing" if self.checkpointing else "") + (", uneven rows" if self.uneven else "")
        return f"{self.adapter} {self.batch} x {self.length}{extra}"


SHAPES: dict[str, tuple[Shape, ...]] = {
    "Qwen/Qwen3-0.6B": (
        Shape("lora", 1024, 8),
        Shape("lora", 1024, 8, uneven=True),
        Shape("lora", 2048, 8, checkpointing=True),
        Shape("qlora", 1024, 8),
        Shape("full", 1024, 8),
        Shape("full", 2048, 8, checkpointing=True),
        Shape("lora", 64, 1),
        Shape("lora", 64, 1, checkpointing=True),
        Shape("qlora", 64, 1),
        Shape("full", 64, 1),
    ),
    "Qwen/Qwen3-1.7B": (
        Shape("lora", 1024, 8),
        Shape("qlora", 2048, 4, checkpointing=True),
        Shape("full", 1024, 4),
        Shape("full", 2048, 4, checkpointing=True),
    ),
    "Qwen/Qwen3-4B": (
        Shape("lora", 1024, 4),
        Shape("lora", 2048, 4, checkpointing=True),
        Shape("qlora", 1024, 4),
        Shape("qlora", 2048, 4, checkpointing=True),
    ),
}
"""By base. Rows of a few tokens show the least time of a step."""

SMALL = Architecture("qwen3", 2, 64, 4, 2, 16, 128, 1536, tied=True, context=4096)
"""Stands for every model where this script itself is tried out on a CPU."""


def architecture_of(model: str, device: Device) -> Architecture:
    """Return the model's architecture; on a CPU a small one in its place."""
    return KNOWN[model] if device == "cuda" else SMALL


def card_named(name: str, memory: int) -> Gpu | None:
    """Return the plan's entry of a card by the driver's name and bytes of memory; None where it has none."""
    words = name.replace("-", " ").split()
    known = [gpu for gpu in GPUS if gpu.name.split("-")[0] in words]
    return min(known, key=lambda gpu: abs(gpu.memory - memory), default=None)


def footprint(model: str, shape: Shape) -> Footprint:
    """Return what the plan estimates memory from."""
    architecture = KNOWN[model]
    return Footprint(
        architecture=architecture,
        adapter=shape.adapter,
        trainable=architecture.parameters if shape.adapter == "full" else lora_parameters(architecture, LORA),
        length=shape.length,
        batch=shape.batch,
        gradient_checkpointing=shape.checkpointing,
        bf16=True,
    )


def work(model: str, shape: Shape, tokens: float = 0.0) -> Work:
    """Return what the plan estimates time from: the training alone, of ``tokens`` a step, or the most there are."""
    sized = footprint(model, shape)
    tokens = tokens or shape.batch * shape.length
    return Work(
        architecture=sized.architecture,
        adapter=shape.adapter,
        trainable=sized.trainable,
        training_tokens=round(shape.steps * tokens),
        steps=shape.steps,
        mean_length=tokens / shape.batch,
        gradient_checkpointing=shape.checkpointing,
        seeds=1,
        reference=False,
        evaluations=0,
        answered_tokens=0,
        variants=0,
        padding=PADDING if shape.uneven else 1.0,
    )


def estimated_tokens_per_second(asked: Work, gpu: Gpu) -> float:
    """Return the plan's speed of training."""
    rate = gpu.tflops * gpu.reach * 1e12 * MFU[asked.adapter]
    return asked.training_tokens / max(training_operations(asked) / rate, asked.steps * step_floor(asked))


def share_of_peak(asked: Work, gpu: Gpu, tokens_per_second: float) -> float:
    """Return the share of the card's peak that a speed means, by the plan's count of operations."""
    return tokens_per_second * training_operations(asked) / asked.training_tokens / (gpu.tflops * 1e12)


def estimated_items_per_second(record: dict[str, Any], gpu: Gpu) -> float:
    """Return the plan's speed of answering the items of a measurement."""
    tokens = record["prompt_tokens"] + record["completion_tokens"]
    asked = replace(work(record["model"], Shape("lora", 1, 1)), evaluations=1, answered_tokens=tokens)
    rate = gpu.tflops * gpu.reach * 1e12 * GENERATION_MFU
    return float(record["items"] / (answering_operations(asked) / rate))
