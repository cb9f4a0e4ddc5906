"""What a package holds beside the model: a compose file for vLLM, a smoke request and the script that sends it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml

from pipeline.core.errors import EnvironmentMissing, IntegrityError
from pipeline.environments import requirements
from pipeline.report.version import VersionRecord, hub_base
from schemas.data import Example
from schemas.serve import LORA_RANKS, LaunchDescription

BASE_FOLDER = "base"
"""Where a package keeps the base of an adapter when the base is not on the Hub."""

_IMAGE = "vllm/vllm-openai"
_SERVER = "vllm.entrypoints.openai.api_server"
_MOUNT = "/package"
_PORT = 8000

_RELEASE = re.compile(r"\d+\.\d+\.\d+")
_PIN = re.compile(r"vllm(?:-cpu)?==(\d+\.\d+\.\d+)")

_SMOKE_SCRIPT = """#!/bin/sh
# Sends smoke_request.json to the server and prints its answer. Usage: sh smoke.sh [http://host:port]
set -eu
cd "$(dirname "$0")"
url="${{1:-http://127.0.0.1:{port}}}"
curl --fail-with-body --silent --show-error --max-time 120 \\
  --header 'Content-Type: application/json' --data @smoke_request.json "$url{path}"
echo
"""


def deployment_files(version: VersionRecord, variant: str, adapter_config: dict[str, Any] | None) -> dict[str, str]:
    """Return ``compose.yaml``, ``smoke_request.json`` and ``smoke.sh`` for a form, by name.

    ``adapter_config`` is PEFT's, for an adapter. The compose file reserves one NVIDIA GPU and publishes the server on
    the loopback address only.

    Raises:
        IntegrityError: the launch description or the test split is damaged.
        EnvironmentMissing: no vLLM version is pinned anywhere.
    """
    request = smoke_request(version)
    path = "/v1/completions" if "prompt" in request else "/v1/chat/completions"
    return {
        "compose.yaml": yaml.safe_dump(_compose(version, variant, adapter_config), sort_keys=False),
        "smoke_request.json": json.dumps(request, indent=2, ensure_ascii=False) + "\n",
        "smoke.sh": _SMOKE_SCRIPT.format(port=_PORT, path=path),
    }


def vllm_release(version: VersionRecord) -> str:
    """Return the vLLM release that a package names: the one that served this version, else the environment's.

    Raises:
        EnvironmentMissing: the environment serve-vllm pins no vLLM.
    """
    if version.serve is not None and version.serve.artifact.engine == "vllm":
        tried = _RELEASE.match(version.serve.artifact.engine_version)
        if tried is not None:
            return tried.group()
    for line in requirements("serve-vllm"):
        pinned = _PIN.match(line)
        if pinned is not None:
            return pinned.group(1)
    raise EnvironmentMissing("the environment pins no vLLM", where="serve-vllm", fix="add a line vllm==<release>")


def smoke_request(version: VersionRecord) -> dict[str, Any]:
    """Return the request that was served before, else one made of the first test item; ``model`` is the version's name.

    Raises:
        IntegrityError: the launch description or the test split is damaged.
    """
    name = version.register.artifact.name
    if version.serve is not None:
        path = version.serve.path / version.serve.artifact.launch
        launch = _read(path, LaunchDescription)
        return {**launch.smoke_request, "model": name}
    path = version.data.path / version.data.artifact.files["test"]
    example = _read(path, Example)
    if example.messages:
        messages = [message.for_template() for message in example.prompt]
        return {"model": name, "messages": messages, "max_tokens": 64, "temperature": 0}
    return {"model": name, "prompt": (example.text or "")[:200], "max_tokens": 64, "temperature": 0}


def _read(path: Path, kind: Any) -> Any:
    try:
        with path.open(encoding="utf-8") as stream:
            text = stream.read() if kind is LaunchDescription else stream.readline()
        return kind.model_validate_json(text)
    except (OSError, ValueError) as error:
        raise IntegrityError(
            "the file cannot be read", where=str(path), fix="remove this artifact; the run makes it again"
        ) from error


def _compose(version: VersionRecord, variant: str, adapter_config: dict[str, Any] | None) -> dict[str, Any]:
    on_hub = hub_base(version.base) if variant == "adapter" else None
    environment = {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
    if on_hub is None:
        environment["HF_HUB_OFFLINE"] = "1"
    volumes = [f".:{_MOUNT}:ro"]
    if on_hub is not None:
        volumes.append("huggingface:/root/.cache/huggingface")
    service = {
        "image": f"{_IMAGE}:v{vllm_release(version)}",
        "entrypoint": ["python3", "-m", _SERVER],
        "command": _arguments(version, variant, adapter_config),
        "environment": environment,
        "volumes": volumes,
        "ports": [f"127.0.0.1:{_PORT}:{_PORT}"],
        "ipc": "host",
        "deploy": {
            "resources": {"reservations": {"devices": [{"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}]}}
        },
    }
    named: dict[str, Any] = {"volumes": {"huggingface": {}}} if on_hub is not None else {}
    return {"services": {"vllm": service}, **named}


def _arguments(version: VersionRecord, variant: str, adapter_config: dict[str, Any] | None) -> list[str]:
    name = version.register.artifact.name
    if variant == "adapter":
        on_hub = hub_base(version.base)
        model = on_hub[0] if on_hub is not None else f"{_MOUNT}/{BASE_FOLDER}"
        arguments = ["--model", model, *(["--revision", on_hub[1]] if on_hub is not None else [])]
        arguments += ["--tokenizer", _MOUNT, "--served-model-name", f"{name}-base"]
        arguments += ["--enable-lora", "--max-lora-rank", str(_rank(adapter_config or {}))]
        arguments += ["--lora-modules", f"{name}={_MOUNT}"]
    else:
        arguments = ["--model", _MOUNT, "--served-model-name", name]
    options = version.serve.config().get("options", {}) if version.serve is not None else {}
    if options.get("max_model_len"):
        arguments += ["--max-model-len", str(options["max_model_len"])]
    return [*arguments, "--host", "0.0.0.0", "--port", str(_PORT)]  # noqa: S104 - inside the container


def _rank(adapter_config: dict[str, Any]) -> int:
    """Return the least rank that vLLM takes and every module of the adapter fits in."""
    largest = max([int(adapter_config.get("r", LORA_RANKS[0])), *(adapter_config.get("rank_pattern") or {}).values()])
    return next((rank for rank in LORA_RANKS if rank >= largest), largest)
