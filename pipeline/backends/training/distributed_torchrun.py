"""torchrun on one machine: it starts this machine's processes, and what they say comes line by line."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import psutil

import pipeline
import schemas
from pipeline.core.process import start_kept, stop_kept
from schemas.distributed import Processes

WORKER = "pipeline.backends.training.distributed_worker"

GRACE_SECONDS = 30.0
"""How long torchrun may take to end what it started."""

_KEPT_LINES = 60

Message = dict[str, Any]


class Torchrun:
    """This machine's processes. Use as a context manager; at its end none is left.

    Args:
        folder: holds the training; the processes find hone's packages in it as well.
        scratch: checkpoints are below it.
        processes: how many there are, on how many machines.
        node: this machine's place among them.
        say: receives what the processes say, and None when they have no more to say.
    """

    def __init__(
        self, folder: Path, scratch: Path, processes: Processes, node: int, say: Callable[[Message | None], None]
    ) -> None:
        for package in (schemas, pipeline):
            source = Path(next(iter(package.__path__))).resolve()
            link = folder / source.name
            if not link.is_symlink():
                link.symlink_to(source, target_is_directory=True)
        self._printed: deque[str] = deque(maxlen=_KEPT_LINES)
        self._say = say
        self._process = start_kept(
            [*_command(processes, node), "--module", WORKER, str(folder), str(scratch)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            cwd=folder,
            env=_environment(folder, processes),
        )
        assert self._process.stdout is not None and self._process.stderr is not None
        self._readers = (
            threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True),
            threading.Thread(target=self._printed.extend, args=(self._process.stderr,), daemon=True),
        )
        for reader in self._readers:
            reader.start()

    def _read(self, stream: IO[str]) -> None:
        for line in stream:
            try:
                message = json.loads(line)
            except ValueError:
                self._printed.append(line)
            else:
                self._say(message)
        self._say(None)

    def ask_to_stop(self) -> None:
        """Ask the processes to stop together at the end of their step."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write("{}\n")
            self._process.stdin.flush()
        except (BrokenPipeError, ValueError):
            return  # they have ended, which is noticed elsewhere

    def end(self) -> int:
        """Wait until torchrun has ended, which it does soon after its processes, and return its status."""
        try:
            return self._process.wait(timeout=GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            return stop_kept(self._process, GRACE_SECONDS)

    @property
    def printed(self) -> str:
        """The end of what was printed on standard error."""
        return "".join(self._printed)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        stop_kept(self._process, 0.0)
        for reader in self._readers:
            reader.join(timeout=GRACE_SECONDS)
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None:
                try:
                    stream.close()
                except BrokenPipeError:
                    continue


def _command(processes: Processes, node: int) -> list[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(processes.per_node)]
    if processes.nodes == 1:
        return [*command, "--rdzv-backend", "c10d", "--rdzv-endpoint", "127.0.0.1:0", "--local-addr", "127.0.0.1"]
    meeting = ["--master-addr", processes.address, "--master-port", str(processes.port)]
    return [*command, "--nnodes", str(processes.nodes), "--node-rank", str(node), *meeting]


def _environment(folder: Path, processes: Processes) -> dict[str, str]:
    """Return the variables of the processes: this one's, hone's packages, and a fair part of the cores for each."""
    cores = max(1, (os.cpu_count() or 1) // processes.per_node)
    environment = {"OMP_NUM_THREADS": str(cores), "TOKENIZERS_PARALLELISM": "false"}
    interface = _interface(processes) if processes.nodes > 1 else None
    if interface is not None:  # of several, Gloo would take the one that has the host's name
        environment["GLOO_SOCKET_IFNAME"] = interface
    return {**environment, **os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}


def _interface(processes: Processes) -> str | None:
    """Return the network interface by which this machine reaches the first one."""
    family = socket.AF_INET6 if ":" in processes.address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect((processes.address, processes.port or 0))  # sends nothing
        own = probe.getsockname()[0]
    interfaces = psutil.net_if_addrs().items()
    return next(
        (name for name, all_of_it in interfaces if any(one.address.split("%")[0] == own for one in all_of_it)), None
    )
