"""What vLLM is told alike, whether it answers in this process or as a server: its environment, an adapter's rank."""

from __future__ import annotations

import json
from pathlib import Path

from pipeline.core.errors import EngineError
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
