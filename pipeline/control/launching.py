"""How a registered version is brought up where its run's own launch description does not hold."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pipeline.control.versions import VersionFiles
from pipeline.core.examples import read_examples
from pipeline.serve import backends
from pipeline.serve.backends import EngineRequest
from pipeline.serve.front import write_front
from pipeline.serve.stage import cpu_dtype
from schemas.serve import Engine, EngineOptions, LaunchDescription

_SMOKE_TOKENS = 64


def describe_version(
    version: VersionFiles,
    folder: Path,
    engine: Engine,
    requirements: Iterable[str] | None = None,
    variant: str | None = None,
) -> LaunchDescription:
    """Return how ``engine`` serves a version, with its run's options; nobody has tried it.

    Args:
        version: the registered version.
        folder: an empty folder that outlives the engine; what the description needs beside it is written there.
        engine: which engine.
        requirements: those of vLLM's environment, where that is not this one.
        variant: None for what is served.

    Raises:
        ConfigError: there is no such variant, or no dtype is known in which it can be served on a CPU.
        IntegrityError: its files are not those of its manifest.
    """
    model, files = version.model(variant), version.files(variant)
    config = serve_config(version)
    options = EngineOptions.model_validate(config.get("options", {}))
    request = EngineRequest(
        files=files,
        served_model_name=config.get("served_model_name", version.version.name),
        options=options,
        cpu_dtype=cpu_dtype(model, options) if engine == "vllm" else "float32",
        front=write_front(folder, files, backends.tokenizer(files)),
        smoke_request=_smoke_request(version),
    )
    return backends.describe(engine, request, requirements)


def serve_config(version: VersionFiles) -> dict[str, Any]:
    """Return the config of the version's serve stage; empty where it was never served."""
    if version.serve is None:
        return {}
    config: dict[str, Any] = json.loads(version.serve.file("config.json").read_text(encoding="utf-8"))
    return config


def _smoke_request(version: VersionFiles) -> dict[str, Any]:
    """Return a chat request made of the first test row."""
    if version.serve is not None:
        return {key: value for key, value in version.launch().smoke_request.items() if key != "model"}
    (example,) = read_examples(version.data.file(version.data.artifact.files["test"]), 1)
    messages = [message.for_template() for message in example.prompt]
    return {"messages": messages, "max_tokens": _SMOKE_TOKENS, "temperature": 0}
