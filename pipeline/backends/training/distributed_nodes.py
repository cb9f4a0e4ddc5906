"""Several machines: the first sends the others the training and its checkpoint, and each starts its own processes.

One connection from each machine to the first, on the port after torchrun's. For each start of the processes the first
sends a line of JSON that names the files that follow, their bytes, and in the end a line that ends it; the others send
lines of JSON, what their processes say. A closed connection means that all is over. So the others need nothing of the
first one's disk.
"""

from __future__ import annotations

import json
import queue
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

from pipeline.backends.training.checkpoints import Checkpoint
from pipeline.backends.training.distributed_torchrun import Message, Torchrun
from pipeline.core.errors import EngineError
from pipeline.core.temporary import private_folder
from schemas.distributed import Processes

MEET_SECONDS = 900.0
"""How long machines may take to find each other."""

SCRATCH = "scratch"
"""Where, in the folder of a training, a machine that is not the first keeps the checkpoint that it was sent."""

_CHUNK = 1 << 20


class Leader:
    """The first machine's end of the connections; on a single machine it does nothing."""

    def __init__(self, processes: Processes) -> None:
        self._processes = processes
        self._others: list[Any] = []
        self._hearing: list[threading.Thread] = []

    def __enter__(self) -> Self:
        """Wait for the other machines.

        Raises:
            EngineError: they do not come.
        """
        if self._processes.nodes > 1:
            self._meet()
        return self

    def _meet(self) -> None:
        with socket.create_server(("", _port(self._processes)), family=_family(self._processes)) as server:
            server.settimeout(MEET_SECONDS)
            while len(self._others) < self._processes.nodes - 1:
                try:
                    connection, _ = server.accept()
                except TimeoutError:
                    raise EngineError(
                        f"of {self._processes.nodes} machines, {len(self._others) + 1} have met",
                        where="hardware.train.nodes",
                        fix="run again: the cluster did not start whole",
                    ) from None
                connection.settimeout(None)
                with connection:
                    self._others.append(connection.makefile("rwb"))

    def begin(self, folder: Path, checkpoint: Checkpoint | None, say: Callable[[Message | None], None]) -> None:
        """Send the training in ``folder``, and hand on what the other machines' processes say.

        Raises:
            EngineError: one of them has gone.
        """
        files = dict(_files(folder))
        if checkpoint is not None:
            place = f"{SCRATCH}/checkpoints/{checkpoint.path.name}"
            files |= {f"{place}/{name}": path for name, path in _files(checkpoint.path)}
        sizes = {name: path.stat().st_size for name, path in files.items()}
        for other in self._others:
            try:
                _send(other, {"files": sizes})
                for path in files.values():
                    with path.open("rb") as stream:
                        shutil.copyfileobj(stream, other, _CHUNK)
                other.flush()
            except ConnectionError as error:
                fix = "run again to go on from the last checkpoint"
                raise EngineError("a machine of the cluster has gone", where="hardware.train.nodes", fix=fix) from error
        self._hearing = [threading.Thread(target=_hear, args=(other, say), daemon=True) for other in self._others]
        for thread in self._hearing:
            thread.start()

    def end(self) -> None:
        """Have the other machines end what `begin` started, and wait until they have."""
        for other in self._others:
            with suppress(ConnectionError):
                _send(other, {})
        for thread in self._hearing:
            thread.join()

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for other in self._others:
            with suppress(OSError):
                other.close()


def follow(processes: Processes, node: int) -> None:
    """Take part as machine ``node`` until the first one has no more to do.

    Raises:
        EngineError: the first machine is not to be reached.
    """
    with _connected(processes) as first:
        while header := first.readline():
            with private_folder("ranks") as folder:
                (folder / SCRATCH).mkdir()
                for name, size in json.loads(header)["files"].items():
                    _receive(first, _inside(folder, name), size)
                _take_part(first, folder, processes, node)


def _take_part(first: Any, folder: Path, processes: Processes, node: int) -> None:
    messages: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
    with Torchrun(folder, folder / SCRATCH, processes, node, messages.put) as torchrun:

        def end_with_first() -> None:
            first.readline()
            torchrun.end()

        watching = threading.Thread(target=end_with_first, daemon=True)
        watching.start()
        while (message := messages.get()) is not None:
            _send(first, message)
        torchrun.end()
        _send(first, {"over": node})
        watching.join()


def _hear(other: Any, say: Callable[[Message | None], None]) -> None:
    """Hand on what a machine says until its processes are over; that it has gone is a failure."""
    with suppress(OSError):
        while line := other.readline():
            message = json.loads(line)
            if "over" in message:
                return
            say(message)
    say({"failed": {"kind": "lost"}})


def _connected(processes: Processes) -> Any:
    until = time.monotonic() + MEET_SECONDS
    while True:
        try:
            with socket.create_connection((processes.address, _port(processes)), timeout=10.0) as connection:
                connection.settimeout(None)
                return connection.makefile("rwb")
        except OSError as error:
            if time.monotonic() > until:
                raise EngineError(
                    f"the first machine is not to be reached: {error}",
                    where=f"{processes.address} port {_port(processes)}",
                    fix="run again: the cluster did not start whole",
                ) from error
            time.sleep(0.5)


def _family(processes: Processes) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in processes.address else socket.AF_INET


def _port(processes: Processes) -> int:
    assert processes.port is not None
    return processes.port + 1


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield path.relative_to(folder).as_posix(), path


def _send(stream: BinaryIO, message: Message) -> None:
    stream.write(json.dumps(message).encode() + b"\n")
    stream.flush()


def _inside(folder: Path, name: str) -> Path:
    """Return where a file that is sent goes.

    Raises:
        EngineError: its name leads out of the folder.
    """
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise EngineError("a file is sent that leads out of the training's folder", where=name, fix="end this cluster")
    return path


def _receive(stream: BinaryIO, path: Path, size: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as target:
        while size:
            chunk = stream.read(min(size, _CHUNK))
            if not chunk:
                raise EngineError("the first machine has gone", fix="run again to go on from the last checkpoint")
            target.write(chunk)
            size -= len(chunk)
