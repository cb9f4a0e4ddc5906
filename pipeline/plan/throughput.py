"""How long a run takes: floating-point operations over the speed that is reached in practice.

Operations per token: Kaplan et al., Scaling Laws (arXiv:2001.08361), section 2.1: 2 N forward and 4 N backward, N being
the parameters that multiply. A frozen base needs no gradients of its weights: 4 N and 6 for each trained parameter.
Gradient checkpointing runs the forward pass again: 2 N more. Attention: 12 x layers x width x length per token, from
Chowdhery et al., PaLM (arXiv:2204.02311), appendix B.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.plan.architecture import Architecture
from pipeline.plan.memory import LOCAL_MEMORY_ERROR, MEMORY_ERROR
from pipeline.plan.prices import Gpu
from schemas.train import AdapterKind

MFU: dict[AdapterKind, float] = {"full": 0.35, "lora": 0.30, "qlora": 0.27}
"""Share of a GPU's peak that training reaches, times the GPU's ``reach``.

Bases of 1.7B and 4B reached 24 to 31% (full), 20 to 26% (LoRA) and 19 to 27% of an H200's (QLoRA, which unpacks its
weights at each use; 2026-11-26, docs/gpu.md).
"""

MULTI_GPU_EFFICIENCY = 0.85
"""Assumed speed of n GPUs that shard a model, over n times the speed of one."""

LAYER_SECONDS: dict[AdapterKind, float] = {"full": 0.0043, "lora": 0.0063, "qlora": 0.0090}
"""Least time of an optimizer step on a GPU for each layer, whatever its size: Python launches each operation.

A 0.6B base of 28 layers took 0.119, 0.176 and 0.251 s over 64 tokens on an H200, a LoRA 0.335 s with gradient
checkpointing (2026-11-26, docs/gpu.md).
"""

RECOMPUTED = 1.9
"""What gradient checkpointing multiplies that least time by."""

START_SECONDS = 120.0
"""Assumed time to start a container and load a model."""

GENERATION_MFU = 0.05
"""Assumed share of peak while answers are generated in batches."""

CPU_OPERATIONS = 6e10
"""Operations per CPU-second of a 1-5M-parameter Llama in float32: 16k and 4.9k tokens/s on two threads (2026-11-23)."""

PADDING = 1.5
"""Assumed tokens computed for each of a row: the rows of a batch are padded to its longest."""

CPU_START_SECONDS = 6.0
"""CPU-seconds to import the training libraries, once (2026-11-25: 5 to 7)."""

VARIANT_SECONDS = 30.0
VARIANT_CPU_SECONDS = 2.0
"""Assumed time to load, convert, write and load again one variant of a small model."""

ERROR = 2.0
"""Times, and with them dollars, are right to about this factor; what is assumed is listed in every plan."""

CALIBRATION_ROWS = 128
"""Rows that a variant's quantizer, or its check against the parent, looks at."""


@dataclass(frozen=True)
class Work:
    """The size of a run: training of every seed, evaluations, variants.

    ``training_tokens`` of one seed over all epochs, ``mean_length`` tokens of a row, ``answered_tokens`` prompt and
    answer tokens of one evaluation. ``reference``: a frozen reference model scores every token as well. ``padding``:
    tokens that are computed for each that the rows have. ``drawn_tokens`` are prompt and answer tokens of the answers
    that one seed's training draws from the model.
    """

    architecture: Architecture
    adapter: AdapterKind
    trainable: int
    training_tokens: int
    steps: int
    mean_length: float
    gradient_checkpointing: bool
    seeds: int
    reference: bool
    evaluations: int
    answered_tokens: int
    variants: int
    padding: float = 1.0
    drawn_tokens: int = 0


def training_operations(work: Work) -> float:
    """Return the operations of training one seed."""
    active = work.architecture.active_parameters
    frozen = work.adapter != "full"
    per_token = 4 * active + 6 * work.trainable if frozen else 6 * active
    per_token += 2 * active * (work.gradient_checkpointing + work.reference)
    width = work.architecture.heads * work.architecture.head_dim
    per_token += int(12 * work.architecture.layers * width * work.mean_length)
    return float(per_token) * work.training_tokens * work.padding


def answering_operations(work: Work) -> float:
    """Return the operations of all evaluations, of answers drawn to train on and of variants: forward passes."""
    per_token = 2 * work.architecture.active_parameters
    calibration = work.variants * CALIBRATION_ROWS * work.mean_length
    return per_token * (work.evaluations * work.answered_tokens + work.seeds * work.drawn_tokens + calibration)


def step_floor(work: Work) -> float:
    """Return the least seconds of an optimizer step."""
    recomputed = RECOMPUTED if work.gradient_checkpointing else 1.0
    return work.architecture.layers * LAYER_SECONDS[work.adapter] * recomputed


def gpu_seconds(work: Work, gpu: Gpu, count: int) -> float:
    """Return the wall-clock seconds of the whole run on ``count`` GPUs."""
    peak = gpu.tflops * gpu.reach * 1e12 * (count * MULTI_GPU_EFFICIENCY if count > 1 else 1.0)
    training = max(training_operations(work) / (peak * MFU[work.adapter]), work.steps * step_floor(work))
    answering = answering_operations(work) / (peak * GENERATION_MFU)
    return work.seeds * (training + START_SECONDS) + answering + work.variants * VARIANT_SECONDS


def assumptions(work: Work) -> tuple[str, ...]:
    """Return what the times of ``work`` rest on, for people."""
    speed = (
        f"training reaches {100 * MFU[work.adapter]:.0f}% of an A100's peak, generating {100 * GENERATION_MFU:.0f}%; "
        f"several GPUs {100 * MULTI_GPU_EFFICIENCY:.0f}% of their sum"
    )
    errors = (
        f"times and dollars are right to a factor of {ERROR:g}; the tensors that a GPU holds to about "
        f"{100 * MEMORY_ERROR:.0f}%, the process on this machine to a factor of {LOCAL_MEMORY_ERROR:g}"
    )
    drawn = ("answers that are drawn to train on are as long as max_completion_length lets them be",)
    return (
        errors,
        speed,
        *(drawn if work.drawn_tokens else ()),
        f"rows of a batch are padded to its longest: {work.padding:g} tokens computed for each",
        f"each training starts in {START_SECONDS:g} s, and a step takes {1000 * step_floor(work):.0f} ms at least",
    )


def cpu_seconds(work: Work) -> float:
    """Return the CPU-seconds of the whole run on this kind of machine; a large model is out of its range."""
    training = CPU_START_SECONDS + work.seeds * training_operations(work) / CPU_OPERATIONS
    return training + answering_operations(work) / CPU_OPERATIONS + work.variants * VARIANT_CPU_SECONDS
