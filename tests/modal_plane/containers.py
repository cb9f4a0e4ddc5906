"""A container: a process of Modal's own entrypoint in its own root folder, talking over its own socket."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
from grpclib.server import Server
from modal_proto import api_pb2

from .ids import Changed, new_id
from .root import SOCKET_FOLDER, prepare
from .volumes import Snapshot

if TYPE_CHECKING:
    from .calls import Input, Result
    from .cloud import Cloud
    from .pools import Pool

KILLED = 128 + signal.SIGKILL
"""Exit status of a container that was killed: Modal's preemption as its end is seen."""
MAX_LINE = 2**16
"""Bytes after which a line is passed on in parts."""
ISOLATE = str(Path(__file__).with_name("isolate.py"))


class PortTaken(Exception):
    """Containers share the machine's network, and something else listens where a server would."""


class Container:
    """One container of a function, from start to end."""

    def __init__(self, cloud: Cloud, pool: Pool) -> None:
        self._cloud = cloud
        self.pool = pool
        self.function = pool.function
        self.generation = pool.function.generation
        self.id = new_id("ta")
        self.folder = cloud.root / "containers" / self.id
        self.snapshots: dict[str, Snapshot] = {}
        self.running: dict[str, Input] = {}
        self.started_at = time.time()
        self.ready = False
        self.stopping = False
        self.retiring = False
        self.served = False
        self.timed_out = False
        self.preempted = False
        self.ended = False
        self.open_requests = 0
        self.status: int | None = None
        self.failure: Result | None = None
        self.cancelled: list[str] = []
        self.changed = Changed()
        self._draining: asyncio.Task[None] | None = None
        self._process: asyncio.subprocess.Process | None = None
        self.task = asyncio.get_running_loop().create_task(self._live())

    async def _live(self) -> None:
        self.folder.mkdir(parents=True)
        sockets = self._cloud.sockets / self.id[-8:]
        sockets.mkdir()
        server = Server([self._cloud.service(self)])
        await server.start(path=str(sockets / "plane.sock"))
        try:
            self._check_port()
            async with self._cloud.volume_lock:
                await asyncio.to_thread(self._mount_volumes)
            spec = await asyncio.to_thread(prepare, self._cloud, self, sockets)
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-I", "-S", ISOLATE, str(spec), str(os.getpid()),
                stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
                env={}, start_new_session=True,
            )  # fmt: skip
            watch = asyncio.get_running_loop().call_later(self.function.startup_timeout, self._check_start)
            await asyncio.gather(
                self._pump(self._process.stdout, api_pb2.FILE_DESCRIPTOR_STDOUT),
                self._pump(self._process.stderr, api_pb2.FILE_DESCRIPTOR_STDERR),
            )
            self.status = await self._process.wait()
            watch.cancel()
        except PortTaken as error:
            self.say(f"{error}\n")
            self.status = 125
        except Exception as error:  # noqa: BLE001 - a fault of the plane, told to the test
            self._cloud.journal.faults.append(f"container {self.id} of {self.function.name}: {error!r}")
            self.say(f"the plane could not run a container: {error}\n")
            self.kill(preempted=False)
            self.status = 125
        finally:
            server.close()
            await server.wait_closed()
            self._end()

    @property
    def usable(self) -> bool:
        """Whether it takes, or soon will take, inputs."""
        return not (self.stopping or self.retiring or self.preempted or self.ended)

    def _check_port(self) -> None:
        """Refuse a port that something else on the machine listens on: requests would go there."""
        definition = self.function.definition
        hooks = self.function.webhooks.values()
        for port in filter(None, [definition.http_config.port, *(hook.web_server_port for hook in hooks)]):
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind(("0.0.0.0", port))
                except OSError as error:
                    raise PortTaken(f"{self.function.name} cannot have port {port} on this machine: {error}") from error

    def _mount_volumes(self) -> None:
        for mount in self.function.definition.volume_mounts:
            volume = self._cloud.volumes.by_id[mount.volume_id]
            folder = self.folder / "volumes" / volume.id
            self.snapshots[volume.id] = Snapshot(self._cloud.volumes, volume, folder, mount.read_only)

    def _check_start(self) -> None:
        if not self.ready:
            text = f"the container was not ready after {self.function.startup_timeout} s"
            self.say(text + "\n")
            self.failure = api_pb2.GenericResult(
                status=api_pb2.GenericResult.GENERIC_STATUS_INIT_FAILURE, exception=text
            )
            self.kill()

    async def _pump(self, pipe: asyncio.StreamReader | None, descriptor: int) -> None:
        assert pipe is not None
        rest = b""
        while piece := await pipe.read(2**16):
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                self.say(line.decode(errors="replace") + "\n", descriptor)
            if len(rest) > MAX_LINE:
                self.say(rest.decode(errors="replace"), descriptor)
                rest = b""
        if rest:
            self.say(rest.decode(errors="replace") + "\n", descriptor)

    def say(self, text: str, descriptor: int = api_pb2.FILE_DESCRIPTOR_INFO) -> None:
        """Write to the app's log."""
        calls = {one.call.id for one in self.running.values()}
        self.function.app.logs.write(
            text,
            function_id=self.function.id,
            task_id=self.id,
            call_id=calls.pop() if len(calls) == 1 else "",
            descriptor=descriptor,
        )

    def _end(self) -> None:
        self.ended = True
        killed = (self.preempted or self.status == KILLED) and not self.stopping and not self.failure
        if killed and not self.timed_out:
            self.say("the container was preempted; its inputs are scheduled again\n")
        shutil.rmtree(self._cloud.sockets / self.id[-8:], ignore_errors=True)
        if not self._cloud.options.keep_containers:
            shutil.rmtree(self.folder, ignore_errors=True)
        self.pool.container_ended(self, killed, f"Runner failed with exit code: {self.status}")
        self.changed.notify()

    def pids(self) -> list[int]:
        """Process ids, as the machine sees them, of what runs inside; the command is the first."""
        if self._process is None or self.ended:
            return []
        with contextlib.suppress(psutil.NoSuchProcess):
            return [one.pid for one in psutil.Process(self._process.pid).children(recursive=True)[1:]]
        return []

    def kill(self, preempted: bool = True) -> None:
        """SIGKILL everything inside at once. Without ``preempted`` its inputs are not scheduled again."""
        if self._process is None or self.ended:
            return
        if not preempted:
            self.stopping = True
        with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
            inside = psutil.Process(self._process.pid).children()
            (inside[0] if inside else self._process).kill()

    def preempt(self, grace: float = 30.0) -> None:
        """Do what Modal does when it takes a machine back: SIGINT, and SIGKILL after the grace period."""
        self.preempted = True
        self._interrupt(signal.SIGINT)
        asyncio.get_running_loop().call_later(grace, self.kill)

    def stop(self, grace: float) -> None:
        """End it: no more inputs, its exit methods run, SIGKILL after ``grace`` seconds."""
        self.stopping = True
        self.pool.changed.notify()
        loop = asyncio.get_running_loop()
        if not self.ready:
            self.kill()
        elif self.function.definition.is_server:
            self._draining = loop.create_task(self._drain(grace))
        else:
            if self.running:
                self._interrupt(signal.SIGINT)
            loop.call_later(grace, self.kill, False)

    async def _drain(self, grace: float) -> None:
        """Let requests in flight finish within the exit grace period, then SIGTERM, then SIGKILL."""
        until = time.monotonic() + self.function.definition.http_config.exit_grace_period
        while self.open_requests and time.monotonic() < until:
            await self.pool.changed.wait(until - time.monotonic())
        self._interrupt(signal.SIGTERM)
        await asyncio.wait([self.task], timeout=grace)
        self.kill(preempted=False)

    def _interrupt(self, number: signal.Signals) -> None:
        if self._process is not None and not self.ended:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    def cancel(self, input_id: str, terminate: bool) -> None:
        """Have a running input cancelled through the heartbeat; kill the container where it does not listen."""
        if terminate:
            self.running.pop(input_id, None)
            self.kill()
            return
        self.cancelled.append(input_id)
        self.changed.notify()
        asyncio.get_running_loop().call_later(self._cloud.options.cancel_grace, self._enforce, input_id)

    def _enforce(self, input_id: str) -> None:
        if self.running.pop(input_id, None) is not None:
            self.kill()

    @property
    def address(self) -> str:
        """Its socket as it sees it."""
        return f"unix://{SOCKET_FOLDER}/plane.sock"
