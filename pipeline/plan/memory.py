"""Peak bytes of training, by part.

Weights, gradients, optimizer: Rajbhandari et al., ZeRO (arXiv:1910.02054), section 3.1, for AdamW, in the form that
PyTorch's autocast gives it: trained weights in float32 with a bfloat16 copy for the forward pass (6 bytes), float32
gradients (4) and two moments (8). Frozen weights are kept in bfloat16, under QLoRA in NF4 with double quantization:
4.127 bits (Dettmers et al., arXiv:2305.14314, section 3) for linear layers. Sharding over n GPUs divides these by n
(ZeRO-3).

Activations: Korthikanti et al., Reducing Activation Recomputation (arXiv:2205.05198), section 4: bytes saved for the
backward pass per token and layer, and the layers' inputs where layers are recomputed, plus one layer being so. What a
layer saves is counted for today's layers, as transformers and PEFT compute them: no attention matrix (fused attention),
no dropout masks, a gated feed-forward layer, and RMSNorm in float32. A test counts it in a real forward pass.

Logits, which the paper leaves out: TRL computes the loss in tiles of the vocabulary and of the tokens
(``trl/kernels/chunked_logprob.py``), so that no more than a tile of them exists at a time.

Measured on an H200 (docs/gpu.md): the peak of 18 trainings was 0.84 to 1.02 of the sum of parts; less where all weights
are trained in one micro-batch a step, whose gradients come as its activations go.
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
FRAGMENTATION = 1.2
"""What PyTorch's allocator holds over the tensors in it: 1.01 to 1.21 on an H200 (2026-11-26), most where rows are of
many lengths."""
TILE_TOKENS, TILE_VOCABULARY = 4096, 32_768
"""The most of the logits that TRL 1.16 holds at a time."""


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
    tokens = footprint.length * footprint.batch * footprint.sequences
    parts = {
        "weights": (4 * trainable + _copied_bytes(footprint) + _frozen_bytes(footprint, element)) // gpus,
        "gradients": 4 * trainable // gpus,
        "optimizer": 8 * trainable // gpus,
        "activations": tokens * _activation_bytes(footprint, element),
        "logits": _logit_bytes(architecture, tokens, element),
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


def _copied_bytes(footprint: Footprint) -> int:
    """Return the bytes of the bfloat16 copies of trained weights that the backward pass waits for.

    Embeddings are looked up and not copied, the output layer by the tile. Layers that are recomputed copy again.
    """
    architecture = footprint.architecture
    if not footprint.bf16:
        return 0
    if footprint.adapter != "full":
        return 2 * footprint.trainable
    if footprint.gradient_checkpointing:
        return 0
    return 2 * (architecture.parameters - architecture.embedding_parameters * (1 if architecture.tied else 2))


def layer_activation_bytes(architecture: Architecture, adapter: AdapterKind, *, bf16: bool) -> int:
    """Return the bytes that one layer saves per token: in bfloat16 under autocast, or in float32.

    - Two RMSNorms keep their input in float32, and what they normalized where their weights are trained; so do norms of
      queries and keys.
    - The five linear layers behind them (queries, keys, values, gate, up) share their input in float32. Under autocast
      each casts it for itself; of a QLoRA, whose adapters leave the cast to autocast, they share it.
    - Attention keeps the rotated queries, its output, and keys and values, which are repeated for each query head where
      rows are padded; the output layer's adapter, except a QLoRA's, casts that output for itself.
    - The gated feed-forward layer keeps gate, its activation, up, and their product.
    """
    hidden, queries = architecture.hidden, architecture.heads * architecture.head_dim
    keys = architecture.kv_heads * architecture.head_dim
    intermediate = architecture.intermediate * architecture.experts_per_token
    element, trained, shared = 2 if bf16 else 4, adapter == "full", adapter == "qlora" or not bf16
    norms = 2 * (4 + (4 if trained else 0)) * hidden
    inputs = element * (2 if shared else 5) * hidden
    head_norms = (4 + (element if trained else 0)) * (queries + keys) if architecture.has_head_norms else 0
    attention = element * (4 if shared or trained else 5) * queries
    return norms + inputs + head_norms + attention + element * 4 * intermediate


def _activation_bytes(footprint: Footprint, element: int) -> int:
    """Return the bytes of all layers per token; what runs through them is in float32 where all weights are."""
    architecture = footprint.architecture
    layer = layer_activation_bytes(architecture, footprint.adapter, bf16=footprint.bf16)
    if footprint.gradient_checkpointing:
        return architecture.layers * (4 if footprint.adapter == "full" else element) * architecture.hidden + layer
    return architecture.layers * layer


def _logit_bytes(architecture: Architecture, tokens: int, element: int) -> int:
    """Return the bytes of a tile of logits and its weights, and of the hidden states that are scored.

    These are picked, cast, and have a gradient, which is summed up in float32.
    """
    vocabulary = min(architecture.vocabulary, TILE_VOCABULARY)
    tile = element * vocabulary * (min(tokens, TILE_TOKENS) + architecture.hidden)
    return tile + tokens * architecture.hidden * (4 + 3 * element)
