"""The one door of the serve stage to libraries: engines and tokenizers."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, assert_never

from pipeline.backends.engine import BASE, FRONT, HOST, LAUNCH, MODEL, PORT, EngineRequest
from pipeline.core.errors import ConfigError
from pipeline.core.models import ModelFiles
from pipeline.render import Tokenizer
from pipeline.serve import guard
from schemas.serve import Engine, LaunchDescription

if TYPE_CHECKING:
    from pipeline.serve.launch import Places

__all__ = [
    "BASE",
    "FRONT",
    "HOST",
    "LAUNCH",
    "MODEL",
    "PORT",
    "EngineRequest",
    "describe",
    "guarded",
    "machine_arguments",
    "prepare",
    "stop_ids",
    "token_ids_request",
    "tokenizer",
    "with_adapters",
]

_GUARD = "hone_guard"


def describe(engine: Engine, request: EngineRequest, requirements: Iterable[str] | None = None) -> LaunchDescription:
    """Return how ``engine`` serves ``request``.

    ``requirements`` are those of vLLM's environment, where that is not this one.
    """
    match engine:
        case "vllm":
            from pipeline.backends import engine_vllm

            build = engine_vllm.installed() if requirements is None else engine_vllm.pinned(requirements)
            return engine_vllm.describe(request, build)
        case "transformers":
            from pipeline.backends import engine_transformers

            return engine_transformers.describe(request)
        case _:
            assert_never(engine)


def with_adapters(launch: LaunchDescription, adapters: Mapping[str, Path]) -> LaunchDescription:
    """Return how the engine of a served adapter serves further ones of the same base beside it, each under its name."""
    match launch.engine:
        case "vllm":
            from pipeline.backends import engine_vllm

            return engine_vllm.with_adapters(launch, adapters)
        case "transformers":
            raise ConfigError("transformers serve serves one model", where="serve.engine", fix="serve it by vllm")
        case _:
            assert_never(launch.engine)


def guarded(launch: LaunchDescription, folder: Path) -> LaunchDescription:
    """Return the description of an engine that asks for its key at every path; what it needs is laid in ``folder``.

    Raises:
        ConfigError: the engine knows no keys.
    """
    match launch.engine:
        case "vllm":
            shutil.copyfile(guard.__file__, folder / f"{_GUARD}.py")
            arguments = (*launch.arguments, "--middleware", f"{_GUARD}.{guard.Guard.__name__}")
            return launch.model_copy(update={"arguments": arguments})
        case "transformers":
            raise ConfigError("transformers serve knows no API keys", where="serve.engine", fix="serve it by vllm")
        case _:
            assert_never(launch.engine)


def prepare(launch: LaunchDescription, places: Places, folder: Path) -> None:
    """Lay out in ``folder``, where the engine will run, what it needs to find there.

    Raises:
        EnvironmentMissing: this machine lacks what the engine needs for the model.
    """
    match launch.engine:
        case "vllm":
            from pipeline.backends.engine_vllm import check_machine

            check_machine(launch, places.files)
        case "transformers":
            from pipeline.backends.engine_transformers import place_model

            place_model(places.files, places.launch, folder / launch.served_model_name)
        case _:
            assert_never(launch.engine)


def machine_arguments(launch: LaunchDescription, files: ModelFiles) -> list[str]:
    """Return the arguments that the engine needs on this machine, beside those of its description."""
    match launch.engine:
        case "vllm":
            from pipeline.backends.engine_vllm import shared_among_gpus

            return shared_among_gpus(launch, files)
        case "transformers":
            return []
        case _:
            assert_never(launch.engine)


def token_ids_request(engine: Engine) -> dict[str, bool]:
    """Return what a chat request must say so that ``engine`` returns prompt token ids; empty where it cannot."""
    match engine:
        case "vllm":
            return {"return_token_ids": True}
        case "transformers":
            return {}
        case _:
            assert_never(engine)


def tokenizer(files: ModelFiles) -> Tokenizer:
    """Load the tokenizer that the model was trained with."""
    from pipeline.backends.tokenizer_transformers import load_tokenizer

    return load_tokenizer(files.tokenizer, trust_remote_code=files.trust_remote_code)


def stop_ids(files: ModelFiles) -> tuple[int, ...]:
    """Return the end tokens that the weights' own generation config names."""
    from pipeline.backends.model_transformers import read_facts

    return read_facts(files).stop_ids
