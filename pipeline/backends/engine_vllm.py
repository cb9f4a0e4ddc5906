"""vLLM's OpenAI-compatible server: its arguments and environment, on a CPU and on GPUs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from pipeline.backends.engine import BASE, FRONT, HOST, LAUNCH, MODEL, PORT, EngineRequest
from pipeline.core.errors import EngineError, EnvironmentMissing
from schemas.serve import LaunchDescription

MODULE = "vllm.entrypoints.openai.api_server"
"""Run as a module: the ``vllm`` command needs the metadata of a package of that very name, which a CPU build lacks."""

SHUTDOWN_SECONDS = 20
"""How long requests in flight may take after SIGTERM."""

LORA_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""The values that vLLM takes for ``--max-lora-rank``."""

_ENVIRONMENT = {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}

_CPU_ENVIRONMENT = {
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "OMP_NUM_THREADS": "1",
    "TORCHDYNAMO_DISABLE": "1",
}
"""1 GiB of cache; no thread pinned; the engine in one process instead of two, which saves a third of its start; no
compiler, whose start costs more than it gains on small models."""


@dataclass(frozen=True)
class Build:
    """Which vLLM it is: its version, and whether it is the CPU build."""

    version: str
    on_cpu: bool


def describe(request: EngineRequest, build: Build) -> LaunchDescription:
    """Return how vLLM serves ``request``.

    Raises:
        EngineError: the adapter's rank is above what vLLM serves.
    """
    arguments = [*_model_arguments(request), *_option_arguments(request, build.on_cpu)]
    arguments += ["--host", HOST, "--port", PORT, "--shutdown-timeout", str(SHUTDOWN_SECONDS)]
    return LaunchDescription(
        engine="vllm",
        engine_version=build.version,
        module=MODULE,
        arguments=tuple(arguments),
        environment={**_ENVIRONMENT, **(_CPU_ENVIRONMENT if build.on_cpu else {})},
        served_model_name=request.served_model_name,
        adapter=request.files.adapter is not None,
        smoke_request={"model": request.served_model_name, **request.smoke_request},
    )


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
        f"vLLM serves adapters up to rank {LORA_RANKS[-1]}, this one has {rank}",
        where=str(adapter),
        fix="serve the merged variant",
    )


def installed() -> Build:
    """Return the vLLM of this environment, without importing it.

    Raises:
        EnvironmentMissing: there is none.
    """
    for package, on_cpu in (("vllm-cpu", True), ("vllm", False)):
        try:
            version = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
        return Build(version, on_cpu or "+cpu" in version)
    raise EnvironmentMissing(
        "vLLM is not installed in this environment", where="serve-vllm", fix="hone env create serve-vllm"
    )


def pinned(lines: Iterable[str]) -> Build:
    """Return the vLLM that an environment's requirement ``lines`` install.

    Raises:
        EnvironmentMissing: they install none.
    """
    for line in lines:
        found = re.match(r"vllm(-cpu)?==([^ ;]+)", line)
        if found is not None:
            return Build(found[2], found[1] is not None or "+cpu" in found[2])
    raise EnvironmentMissing("the environment pins no vLLM", where="serve-vllm", fix="add a line vllm==<release>")


def _model_arguments(request: EngineRequest) -> list[str]:
    files, name = request.files, request.served_model_name
    front = ["--tokenizer", f"{LAUNCH}/{FRONT}", "--generation-config", f"{LAUNCH}/{FRONT}"] if request.front else []
    trusted = ["--trust-remote-code"] if files.trust_remote_code else []
    if files.adapter is None:
        return ["--model", MODEL, "--served-model-name", name, *front, *trusted]
    revision = ["--revision", files.revision] if files.revision is not None else []
    lora = ["--enable-lora", "--lora-modules", f"{name}={MODEL}", "--max-lora-rank", str(lora_rank(files.adapter))]
    return ["--model", BASE, *revision, "--served-model-name", f"{name}-base", *lora, *front, *trusted]


def _option_arguments(request: EngineRequest, on_cpu: bool) -> list[str]:
    options = request.options
    dtype = request.cpu_dtype if on_cpu and options.dtype == "auto" else options.dtype
    arguments = ["--dtype", dtype]
    if on_cpu or options.enforce_eager:
        arguments.append("--enforce-eager")
    if on_cpu:
        arguments += ["--distributed-executor-backend", "uni"]
    for flag, value in (
        ("--max-model-len", options.max_model_len),
        ("--max-num-seqs", options.max_num_seqs),
        ("--gpu-memory-utilization", options.gpu_memory_utilization),
    ):
        if value is not None:
            arguments += [flag, str(value)]
    return arguments
