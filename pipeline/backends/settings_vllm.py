"""What vLLM is told alike, whether it answers in this process or as a server.

That is its environment, an adapter's rank, by how many GPUs the model is shared, and what it cannot do here.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipeline.core.cpu import cpu_flags, packed_weights_unread, reads_packed_weights
from pipeline.core.errors import EngineError
from pipeline.core.gpus import shared_by, visible_gpus
from pipeline.core.models import ModelFiles
from schemas.serve import LORA_RANKS

ENVIRONMENT = {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
"""Nothing is sent anywhere."""

CPU_ENVIRONMENT = {
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "TORCHDYNAMO_DISABLE": "1",
}
"""1 GiB of cache; no thread pinned, so that other processes on these cores are left alone; the engine in one process
instead of two, which saves a third of its start; no compiler, whose start costs more than it gains on small models."""


def lora_rank(adapter: Path) -> int:
    """Return the smallest rank that vLLM offers and the adapter in this folder fits into.

    Raises:
        EngineError: its rank is above all of them.
    """
    config = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
    rank = max([int(config["r"]), *(int(value) for value in (config.get("rank_pattern") or {}).values())])
    for offered in LORA_RANKS:
        if offered >= rank:
            return offered
    raise EngineError(
        f"vLLM takes adapters up to rank {LORA_RANKS[-1]}, this one has {rank}",
        where=str(adapter),
        fix="take the merged variant",
    )


def tensor_parallel_size(files: ModelFiles, visible: Callable[[], int] = visible_gpus) -> int:
    """Return how many of the GPUs that this process sees share a model: all, or as many as divide its heads.

    It is decided where an engine is started: a model and its launch description are the same on any hardware. Where a
    config does not name its heads as most do, it is all: vLLM itself says what does not divide them.

    Raises:
        ModelError: the model's config cannot be read.
    """
    seen = visible()
    if seen < 2:
        return 1
    from pipeline.backends.config_transformers import load_config

    config = load_config(files.weights, revision=files.revision, trust_remote_code=files.trust_remote_code)
    text = config.get("text_config") or config
    heads = text.get("num_attention_heads")
    return seen if heads is None else shared_by(seen, heads, text.get("num_key_value_heads") or heads)


def check_cpu(files: ModelFiles, flags: frozenset[str] | None = None) -> None:
    """Refuse weights that vLLM's CPU build loads on this machine and cannot compute with.

    ``flags`` are those of this CPU if None.

    Raises:
        EnvironmentMissing: the weights are of 4 bits, and the CPU has not the instructions for them.
        ModelError: the model's config cannot be read.
    """
    if reads_packed_weights(cpu_flags() if flags is None else flags):
        return
    from pipeline.backends.config_transformers import load_config

    config = load_config(files.weights, revision=files.revision, trust_remote_code=files.trust_remote_code)
    if _is_packed(config.get("quantization_config") or {}):
        raise packed_weights_unread("these are", where=str(files.weights), fix="take a variant of another precision")


def _is_packed(quantization: dict[str, Any]) -> bool:
    """Tell whether a ``quantization_config`` is of weights of 4 bits: GPTQ's, AWQ's, or compressed-tensors'."""
    bits = [quantization.get("bits")]
    bits += [(group.get("weights") or {}).get("num_bits") for group in quantization.get("config_groups", {}).values()]
    return 4 in bits
