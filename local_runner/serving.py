"""Long-lived serving on this machine: a version's launch description, brought up in the foreground."""

from __future__ import annotations

import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from local_runner.environments import environment
from pipeline.control.launching import describe_version, serve_config
from pipeline.control.versions import VersionFiles
from pipeline.core.errors import Cancelled, ConfigError, EngineError, EnvironmentMissing
from pipeline.core.models import ModelFiles
from pipeline.core.process import describe_exit
from pipeline.environments import requirements
from pipeline.serve.launch import Places
from pipeline.serve.process import free_port, start_engine
from schemas.optimize import only_vllm
from schemas.serve import Engine, LaunchDescription

VLLM = "serve-vllm"

STOP_SECONDS = 40.0
"""Time for requests in flight after a signal; vLLM itself cuts them off after 20 s."""

_POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Serving:
    """What is to be brought up.

    ``folder`` is that of the description; ``python`` the interpreter of the engine's environment; ``tried`` says
    whether the serve stage brought up this very description; ``note`` why the engine is another than the run's.
    """

    launch: LaunchDescription
    folder: Path
    files: ModelFiles
    python: Path
    tried: bool
    note: str | None = None


def plan_serving(
    version: VersionFiles, folder: Path, variant: str | None = None, engine: Engine | None = None
) -> Serving:
    """Decide how to serve a version: as it was tried where that is possible.

    vLLM's environment may be missing: then it is ``transformers serve``, and the note says so. A variant that the run
    did not serve gets a description of its own, with the run's options.

    Args:
        version: the registered version.
        folder: an empty folder that outlives the engine.
        variant: None for what was served.
        engine: None for the run's own.

    Raises:
        ConfigError: there is no such variant.
        EnvironmentMissing: vLLM alone serves it, and is not installed.
    """
    model = version.model(variant)
    files = version.files(variant)
    vllm = environment(VLLM)
    if version.serve is not None and version.model() == model:
        launch = version.launch()
        fits = engine in (None, launch.engine)
        if launch.engine == "transformers" and fits:
            return Serving(launch, version.serve.path, files, Path(sys.executable), tried=True)
        if launch.engine == "vllm" and vllm.installed and fits:
            return Serving(launch, version.serve.path, files, vllm.python, tried=True)
    vllm_alone = only_vllm(model.artifact)
    if vllm_alone and not vllm.installed:
        raise EnvironmentMissing(
            f"vLLM alone serves {model.artifact.variant.name}, and its environment is not installed",
            where=VLLM,
            fix=f"hone env create {VLLM}, or serve another variant",
        )
    wanted = engine or serve_config(version).get("engine", "vllm")
    used: Engine = "vllm" if vllm.installed and (vllm_alone or wanted == "vllm") else "transformers"
    launch = describe_version(version, folder, used, requirements(VLLM), variant)
    note = None
    if not vllm.installed:
        note = f"vLLM's environment is not installed (hone env create {VLLM}), so transformers serve takes its place"
    return Serving(launch, folder, files, vllm.python if used == "vllm" else Path(sys.executable), False, note)


def serve_forever(
    serving: Serving,
    *,
    host: str,
    port: int,
    api_key: str | None = None,
    announce: Callable[[str], None],
) -> int:
    """Bring an engine up, tell its address, and wait until it ends or SIGINT or SIGTERM asks to stop.

    After a signal the engine takes no new requests and finishes those in flight.

    Args:
        serving: what to bring up.
        host: the address to listen on.
        port: 0 takes a free one.
        api_key: clients must send it as a bearer token.
        announce: told what happens, one line each.

    Returns:
        The engine's exit status; 0 after a signal that it obeyed.

    Raises:
        ConfigError: the port is taken, or the engine knows no keys.
        EngineError: the engine does not start, or ends by itself.
    """
    launch = serving.launch
    if api_key is not None and launch.engine != "vllm":
        raise ConfigError(
            "transformers serve knows no API keys", where="--api-key", fix=f"hone env create {VLLM}, which has vLLM"
        )
    places = Places(serving.files, serving.folder, host, port or free_port())
    _check_port(places)
    extra = {"VLLM_API_KEY": api_key} if api_key is not None else {}
    with (
        signals() as asked,
        start_engine(launch, places, python=str(serving.python), extra=extra, grace=STOP_SECONDS) as engine,
    ):
        if serving.note is not None:
            announce(serving.note)
        announce(f"starting {launch.engine} {launch.engine_version}; its log is {engine.folder / 'engine.log'}")

        def check() -> None:
            if asked.is_set():
                raise Cancelled("stopped before it was ready")

        engine.wait_until_ready(check)
        announce(f"{launch.served_model_name} is served by {launch.engine} at {places.url}")
        while not asked.wait(_POLL_SECONDS):
            status = engine.process.poll()
            if status is not None:
                raise EngineError(
                    f"{launch.engine} ended by itself: {describe_exit(status)}",
                    where="serve",
                    fix="see the end of its log",
                    detail=engine.log_tail(),
                )
        announce("stopping; requests in flight are finished")
        status = engine.stop(STOP_SECONDS)
        return 0 if status == -signal.SIGTERM else status  # uvicorn sends itself the signal again when it is done


@contextmanager
def signals() -> Iterator[threading.Event]:
    """Yield an event that SIGINT and SIGTERM set while this context lasts."""
    asked = threading.Event()
    before = {number: signal.signal(number, lambda *_: asked.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _check_port(places: Places) -> None:
    """Refuse a port that is taken before an engine spends a minute on finding out."""
    family = socket.AF_INET6 if ":" in places.host else socket.AF_INET
    try:
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((places.host, places.port))
    except OSError as error:
        raise ConfigError(
            f"cannot listen there: {error.strerror}", where=f"{places.host}:{places.port}", fix="give another --port"
        ) from error
