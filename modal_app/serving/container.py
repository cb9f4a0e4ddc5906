"""One container of the endpoint, from its start to its end."""

from __future__ import annotations

import sys
import threading
import time
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

from modal_app.meter import Meter
from modal_app.pulse import Pulse
from modal_app.registry import registry_to_read
from modal_app.serving.api_key import key_of_container
from modal_app.serving.choice import is_pinned
from modal_app.serving.cold_start import ColdStart
from modal_app.serving.keys import COLD_START, SERVING
from modal_app.serving.log import passed_on
from modal_app.serving.stop import container_id, end_now, stop_this_container
from modal_app.serving.switch import Switch
from modal_app.serving.version import Served, describe_served, find_version
from modal_app.settings import SETTINGS
from modal_app.volumes import ARTIFACTS, COMPILED, ROOT, STATE
from pipeline.control.allowance import resources_of
from pipeline.control.versions import VersionFiles
from pipeline.core.process import describe_exit
from pipeline.core.temporary import private_folder
from pipeline.serve.guard import KEY_VARIABLE
from pipeline.serve.launch import Places
from pipeline.serve.process import RunningEngine, start_engine
from schemas.placement import Placement

HOST = "0.0.0.0"  # noqa: S104 - Modal reaches the container from outside
ENGINE_SECONDS = 1500.0
"""How long an engine may take until its first answer: weights of 140 GB are read from a Volume in that time."""
STOP_SECONDS = 25.0
"""Time for the engine's end; Modal kills the container 30 s after it asked it to end."""
EXIT_GRACE_SECONDS = 120
"""How long requests in flight are waited for when a container is to end."""


class ServingContainer:
    """Brings up what is to be served, and makes room when that is something else or the engine has ended.

    Args:
        placement: what this container is billed for.
    """

    def __init__(self, placement: Placement) -> None:
        self._placement = placement
        self._switch = Switch(STATE)
        self._held = ExitStack()
        self._engine: RunningEngine | None = None
        self._leaving_since: float | None = None

    def start(self) -> None:
        """Serve; returns when the engine has answered.

        Raises:
            ConfigError: the key is weak, or several names are registered and none is named.
            RegistryError: what is to be served is not registered.
            IntegrityError: its files are not those that were registered.
            EngineError: the engine does not start or does not answer; the error has the end of its log.
        """
        key = key_of_container()
        cold = ColdStart.begun()
        with ExitStack() as held:
            pulse = held.enter_context(Pulse(SETTINGS.lease_seconds / 4))
            meter = Meter(STATE, SERVING, container_id(), container_id(), resources_of(self._placement), "serving")
            held.enter_context(meter)
            held.enter_context(pulse.beat(meter.beat))
            served = self._find(cold, held.enter_context(private_folder("launch")))
            _tell(_sentence(served))
            self._engine = held.enter_context(_start(served, key))
            held.enter_context(passed_on(self._engine.folder / "engine.log"))
            _wait(self._engine, cold)
            held.enter_context(pulse.beat(self._look))
            self._held = held.pop_all()
        chosen = served.version.version
        _tell(f"cold start of {chosen}: {cold}")
        STATE.put(COLD_START, {"version": str(chosen), "container": container_id(), "seconds": cold.phases})
        threading.Thread(target=COMPILED.commit, name="compile-cache", daemon=True).start()

    def stop(self) -> None:
        """End the engine, which finishes requests in flight, and the meter."""
        _tell("stopping; requests in flight are finished")
        if self._engine is not None:
            self._engine.stop(STOP_SECONDS)  # before what passes its log on
        self._held.close()

    def _find(self, cold: ColdStart, folder: Path) -> Served:
        """Read the registry until it is as new as the Dict says, and describe what it names."""
        version, agrees = self._read(cold)
        if not agrees:
            version, _ = self._read(cold)
        with cold.phase("files"), registry_to_read() as registry:
            served = describe_served(ROOT, registry, version, folder)
        pinned = {version.version.name} if is_pinned(SETTINGS.serve) else set()
        self._switch.serves({name: number for name, number in served.versions.items() if name not in pinned})
        return served

    def _read(self, cold: ColdStart) -> tuple[VersionFiles, bool]:
        with cold.phase("volume"):
            ARTIFACTS.reload()
        with cold.phase("registry"), registry_to_read() as registry:
            version = find_version(ROOT, registry, SETTINGS.serve)
            champions = {one.name: one.version for one in registry.list_versions() if "champion" in one.aliases}
        return version, self._switch.agrees(champions)

    def _look(self) -> bool:
        """Have the container end once its engine has ended, or once it serves the wrong version."""
        if self._leaving_since is not None:
            if time.monotonic() - self._leaving_since > EXIT_GRACE_SECONDS + STOP_SECONDS:
                end_now()
            return True
        assert self._engine is not None
        status = self._engine.process.poll()
        reason = self._switch.due() if status is None else f"the engine ended by itself: {describe_exit(status)}"
        if reason is not None:
            _tell(f"{reason}; this container makes room for one that does")
            self._leaving_since = time.monotonic()
            stop_this_container()
        return True


def _start(served: Served, key: str) -> AbstractContextManager[RunningEngine]:
    places = Places(served.files, served.folder, HOST, SETTINGS.port)
    extra = {KEY_VARIABLE: key}
    return start_engine(served.launch, places, python=sys.executable, extra=extra, grace=STOP_SECONDS)


def _wait(engine: RunningEngine, cold: ColdStart) -> None:
    """Wait for the first answer; the port is looked at after each check, so the last check is when it listened."""
    began = listened = time.monotonic()

    def check() -> None:
        nonlocal listened
        listened = time.monotonic()

    engine.wait_until_ready(check, ENGINE_SECONDS)
    cold.add("engine", listened - began)
    cold.add("first answer", time.monotonic() - listened)


def _sentence(served: Served) -> str:
    """Return what is brought up, in words."""
    names = ", ".join(f"{name}@{version}" for name, version in served.versions.items())
    how = "as its run tried it" if served.tried else "with its run's options, in an environment that is not its run's"
    left_out = "".join(f"; not {name}: {reason}" for name, reason in served.beside.left_out.items())
    return f"serving {names} by vllm {served.launch.engine_version}, {how}{left_out}"


def _tell(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - a container's log is its output
