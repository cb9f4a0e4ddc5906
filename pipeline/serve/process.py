"""A running engine: started on a free port, ready when it has answered, stopped with everything that it started."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.core.errors import EngineError
from pipeline.core.process import describe_exit, start_kept, stop_kept
from pipeline.core.temporary import private_folder
from pipeline.serve import backends
from pipeline.serve.client import Client
from pipeline.serve.guard import KEY_VARIABLE
from pipeline.serve.launch import Places, arguments
from schemas.serve import LaunchDescription

LOOPBACK = "127.0.0.1"
READY_SECONDS = 900.0
"""How long an engine may take to answer its first request; a large model's weights are read in that time."""

_POLL_SECONDS = 0.25
_LOG_TAIL = 4000
_PASSED_ON = (
    "PATH", "HOME", "LANG", "LC_ALL", "CUDA_VISIBLE_DEVICES", "HF_HOME", "HF_HUB_CACHE", "LD_LIBRARY_PATH",
    "VLLM_CACHE_ROOT", "VLLM_USE_FLASHINFER_SAMPLER",
)  # fmt: skip
"""What belongs to the machine or the image, and not to a description."""


def free_port() -> int:
    """Return a port of the loopback address that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class RunningEngine:
    """An engine's process. ``launch`` is what it was started from; ``folder`` its private folder, gone when stopped."""

    launch: LaunchDescription
    process: subprocess.Popen[str]
    client: Client
    folder: Path
    ready_seconds: float = 0.0
    _stopped: int | None = field(default=None, repr=False)

    @property
    def base_url(self) -> str:
        """The address of the OpenAI-compatible API, ending in ``/v1``."""
        return self.client.base_url

    @property
    def version(self) -> str:
        """The engine's version."""
        return self.launch.engine_version

    def log_tail(self) -> str:
        """Return the end of what the engine printed."""
        text = (self.folder / "engine.log").read_text(encoding="utf-8", errors="replace")
        return text[-_LOG_TAIL:]

    def wait_until_ready(self, check: Callable[[], None], seconds: float = READY_SECONDS) -> None:
        """Wait until the smoke request has been answered: health routes are green before a first answer is possible.

        Raises:
            EngineError: the engine ended, answered with an error, or took longer than ``seconds``.
        """
        started = time.monotonic()
        while True:
            check()
            if self.process.poll() is not None:
                raise self._error(f"ended before it was ready: {describe_exit(self.process.returncode)}")
            if self.client.listens():
                self._first_answer()
                self.ready_seconds = time.monotonic() - started
                return
            if time.monotonic() - started > seconds:
                raise self._error(f"did not listen within {seconds:.0f} s")
            time.sleep(_POLL_SECONDS)

    def _first_answer(self) -> None:
        try:
            self.client.chat(self.launch.smoke_request)
        except EngineError as error:
            time.sleep(_POLL_SECONDS)  # a process that the request has killed needs a moment to be gone
            ended = self.process.poll()
            how = f" ({describe_exit(ended)})" if ended is not None else ""
            raise self._error(f"does not answer: {error.message}{how}") from error

    def _error(self, what: str) -> EngineError:
        name = f"{self.launch.engine} {self.launch.engine_version}"
        return EngineError(
            f"{name} {what}",
            where="serve",
            fix="see the end of its log; a smaller serve.options.max_model_len or max_num_seqs takes less memory",
            detail=self.log_tail(),
        )

    def stop(self, grace: float) -> int:
        """Ask the engine to finish, kill what is left after ``grace`` seconds, and return its exit status."""
        if self._stopped is None:
            self._stopped = stop_kept(self.process, grace)
            self.client.close()
        return self._stopped


@contextmanager
def start_engine(
    launch: LaunchDescription,
    places: Places,
    *,
    python: str,
    extra: Mapping[str, str] | None = None,
    grace: float = 30.0,
) -> Iterator[RunningEngine]:
    """Start the engine that ``launch`` describes and stop it at the end; it also dies with this process.

    Args:
        launch: the description.
        places: what it leaves open.
        python: the interpreter of the engine's environment.
        extra: environment variables that no description holds; with ``VLLM_API_KEY`` every path asks for that key.
        grace: seconds that it may take to stop.

    Yields:
        The engine, not yet ready.
    """
    key = (extra or {}).get(KEY_VARIABLE)
    with private_folder("engine") as folder:
        environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        environment |= {**launch.environment, "TMPDIR": str(folder), "PYTHONNOUSERSITE": "1", **(extra or {})}
        backends.prepare(launch, places, folder)
        command = backends.guarded(launch, folder) if key is not None else launch
        with (folder / "engine.log").open("w", encoding="utf-8") as output:
            process = start_kept(
                [python, *arguments(command, places), *backends.machine_arguments(command, places.files)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                cwd=folder,
            )
        engine = RunningEngine(launch, process, Client(places.url, key), folder)
        try:
            yield engine
        finally:
            engine.stop(grace)
