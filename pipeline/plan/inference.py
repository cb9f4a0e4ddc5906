"""What a model takes where it answers: the weights of each of its forms, and the cache of what was read.

The key-value cache holds, for each token, a key and a value of every key-value head in every layer (Ainslie et al.,
GQA, arXiv:2305.13245, section 2): 2 x layers x kv_heads x head_dim numbers. Layers that look back a fixed number of
tokens (Gemma, gpt-oss) hold less; they are counted as if they did not.
"""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.plan.architecture import Architecture
from pipeline.plan.throughput import CALIBRATION_ROWS
from schemas.plan import InferenceNeeds
from schemas.schemes import SCHEMES, Scheme
from schemas.train import AdapterKind

BF16, FLOAT32 = 2, 4
"""Bytes of a number."""

HESSIANS = 3
"""Float32 matrices of a layer's inputs by its inputs that GPTQ holds at once: the Hessian, its inverse, a factor.

Frantar et al., GPTQ (arXiv:2210.17323), section 3.3.
"""

PASSES = 2
"""Copies of the calibration rows' hidden states: what went into a layer and what came out of it."""


def inference_needs(
    architecture: Architecture,
    *,
    adapter: AdapterKind,
    trainable: int,
    variants: Mapping[str, Scheme],
    served: str | None,
    length: int,
) -> InferenceNeeds:
    """Return what the base, what training leaves and every variant take.

    Args:
        architecture: of the base.
        adapter: what is trained; a fully trained model is kept in float32, as it was trained.
        trainable: parameters of the adapter.
        variants: schemes by name.
        served: the form that is served.
        length: tokens of the longest calibration row.
    """
    element = FLOAT32 if adapter == "full" else BF16
    base = BF16 * architecture.parameters
    forms = {"base": base}
    if adapter == "full":
        forms["model"] = element * architecture.parameters
    else:
        forms["adapter"] = base + FLOAT32 * trainable
    forms |= {name: form_bytes(architecture, scheme, element) for name, scheme in variants.items()}
    widest = max(linear.inputs for linear in architecture.linears())
    states = PASSES * CALIBRATION_ROWS * length * architecture.hidden * BF16
    return InferenceNeeds(
        form_bytes=forms,
        kv_bytes_per_token=2 * architecture.layers * architecture.kv_heads * architecture.head_dim * BF16,
        heads=architecture.heads,
        kv_heads=architecture.kv_heads,
        context=architecture.context,
        calibration_bytes=states + HESSIANS * FLOAT32 * widest**2,
        served=served,
    )


def form_bytes(architecture: Architecture, scheme: Scheme, element: int) -> int:
    """Return the bytes of a variant's weights; ``element`` those of a number that is not quantized."""
    whole = element * architecture.parameters
    if scheme == "merged":
        return whole
    linear = architecture.linear_parameters
    bits = SCHEMES[scheme].bits
    return whole if bits is None else whole - element * linear + int(bits / 8 * linear)
