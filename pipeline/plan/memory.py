"""Peak bytes of training, by part.

Weights, gradients, optimizer: Rajbhandari et al., ZeRO (arXiv:1910.02054), section 3.1, for AdamW, in the form that
PyTorch's autocast gives it: trained weights in float32 with a bfloat16 copy for the forward pass (6 bytes), float32
gradients (4) and two moments (8). Frozen weights are kept in bfloat16, under QLoRA in NF4 with double quantization:
4.127 bits (Dettmers et al., arXiv:2305.14314, section 3) for linear layers. Sharding over n GPUs divides these by n
(ZeRO-3).

Activations: Korthikanti et al., Reducing Activation Recomputation (arXiv:2205.05198), section 4: bytes saved for the
backward pass per token and layer, and 2 bytes x hidden per layer where layers are recomputed, plus one layer being so.
Deviations, for today's layers: no attention matrix is stored (fused attention), no dropout masks, the feed-forward
layer is gated, and RMSNorm computes in float32. The logits, which the paper leaves out, are the largest tensor of a
small model with a large vocabulary: kept in the model's type, in float32 and as a float32 gradient.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from pipeline.plan.architecture import Architecture
from pipeline.plan.prices import GIB
from schemas.plan import MemoryEstimate
from schemas.train import AdapterKind

NF4_BYTES = 4.127 / 8
RESERVE = 1 * GIB
"""CUDA context and libraries."""
MEMORY_ERROR = 0.2
"""Share by which the sum of parts may be wrong."""
PROCESS_FLOOR = 600 << 20
"""Bytes of a training process on a CPU before any model: TRL, PEFT, transformers and torch imported took 566 MB
(resident, 2026-11-25); what the earlier stages of the same process leave makes up the rest."""
LOCAL_MEMORY_ERROR = 1.5
"""Factor to which the memory of a training process on a CPU is right."""
FRAGMENTATION = 1.1
"""PyTorch's allocator holds about a tenth more than the tensors in it."""


@dataclass(frozen=True)
class Footprint:
    """What decides memory: the model, what of it is trained, and the shape of a step on one GPU.

    ``length`` tokens of the longest sequence, ``batch`` rows on each GPU of ``sequences`` each (2 for a preference).
    ``reference``: a frozen copy of the base is kept beside a fully trained one.
    """

    architecture: Architecture
    adapter: AdapterKind
    trainable: int
    length: int
    batch: int
    gradient_checkpointing: bool
    bf16: bool
    sequences: int = 1
    reference: bool = False


def estimate_memory(footprint: Footprint, gpus: int = 1) -> MemoryEstimate:
    """Return peak bytes on each of ``gpus`` GPUs."""
    architecture, trainable = footprint.architecture, footprint.trainable
    element = 2 if footprint.bf16 else 4
    trained = (6 if footprint.bf16 else 4) * trainable
    weights = (trained + _frozen_bytes(footprint, element)) // gpus
    tokens = footprint.length * footprint.batch * footprint.sequences
    logits = tokens * architecture.vocabulary * (element + 4 + 4)
    parts = {
        "weights": weights,
        "gradients": 4 * trainable // gpus,
        "optimizer": 8 * trainable // gpus,
        "activations": tokens * _activation_bytes(footprint, element),
        "logits": logits,
    }
    return MemoryEstimate(**parts, total=sum(parts.values()))


def local_memory(footprint: Footprint) -> int:
    """Return the peak bytes of the training process on a CPU: the tensors in float32 and the libraries."""
    return estimate_memory(replace(footprint, bf16=False)).total + PROCESS_FLOOR


def needed(memory: MemoryEstimate) -> int:
    """Return what a GPU must have for these tensors to fit."""
    return int(memory.total * FRAGMENTATION) + RESERVE


def _frozen_bytes(footprint: Footprint, element: int) -> int:
    architecture = footprint.architecture
    match footprint.adapter:
        case "full":
            return element * architecture.parameters if footprint.reference else 0
        case "lora":
            return element * architecture.parameters
        case "qlora":
            # Only linear layers are quantized; embeddings, norms, and the experts of a mixture stay as they are. One
            # layer at a time is unpacked.
            linear = architecture.linear_parameters
            unpacked = max(layer.parameters for layer in architecture.linears())
            return int(NF4_BYTES * linear) + element * (architecture.parameters - linear + unpacked)


def layer_activation_bytes(architecture: Architecture, element: int) -> int:
    """Return the bytes that one layer saves per token, its elements having ``element`` bytes.

    Per layer: two RMSNorms keep input in float32 and output, as do norms of queries and keys; attention its queries,
    keys, values (before and after the rotation of queries and keys) and output; the gated feed-forward layer gate, its
    activation, up, and their product.
    """
    hidden, queries = architecture.hidden, architecture.heads * architecture.head_dim
    keys = architecture.kv_heads * architecture.head_dim
    intermediate = architecture.intermediate * architecture.experts_per_token
    norms = (4 + element) * 2 * hidden
    if architecture.has_head_norms:
        norms += (4 + element) * (queries + keys)
    attention = element * (2 * queries + 2 * keys + keys + queries)
    feed_forward = element * 4 * intermediate
    return norms + attention + feed_forward


def _activation_bytes(footprint: Footprint, element: int) -> int:
    """Return the bytes of all layers per token."""
    architecture = footprint.architecture
    layer = layer_activation_bytes(architecture, element)
    if footprint.gradient_checkpointing:
        return architecture.layers * element * architecture.hidden + layer
    return architecture.layers * layer
