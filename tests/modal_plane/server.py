"""The plane: started and stopped by a test or by hand, driven with the unmodified ``modal`` command."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from aiohttp import web
from grpclib.server import Server

from pipeline.core.process import start_kept, stop_kept

from .account import TOKEN_ID, TOKEN_SECRET
from .apps import App
from .blobs import ContentServer
from .calls import Call
from .cloud import Cloud, Options
from .containers import Container
from .functions import Function
from .volumes import Volume
from .web import PROXY_KEY, PROXY_SECRET, watch_idle_servers

T = TypeVar("T")


class Plane:
    """A control plane on loopback, in a thread of its own.

    Attributes of it show what reached it: ``functions["train"].gpu``, ``apps``, ``volumes["artifacts"].files()``,
    ``containers``, ``calls``. Everything ends with it: its containers are killed when it stops or its process dies.
    """

    proxy_headers = {"Modal-Key": PROXY_KEY, "Modal-Secret": PROXY_SECRET}

    def __init__(self, root: Path, options: Options | None = None, port: int = 0) -> None:
        self.root = root
        self.options = options or Options()
        self.url = ""
        self._port = port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name="modal-plane", daemon=True)
        self._started = threading.Event()
        self._failure: BaseException | None = None
        self._stop: asyncio.Event
        self.cloud: Cloud

    def start(self) -> Plane:
        """Listen.

        Raises:
            OSError: The port is taken.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        self._thread.start()
        self._started.wait()
        if self._failure is not None:
            raise self._failure
        return self

    def __enter__(self) -> Plane:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()

    def stop(self) -> None:
        """Kill the containers, close the ports, and wait until both is done."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join()

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._main())
        except BaseException as error:  # noqa: BLE001 - raised by start()
            self._failure = error
        finally:
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.run_until_complete(self._loop.shutdown_default_executor())
            self._loop.close()
            self._started.set()

    async def _main(self) -> None:
        self._stop = asyncio.Event()
        self.cloud = cloud = Cloud(self.root, self.options)
        server = Server([cloud.service(None)])
        content = web.Application(client_max_size=2**32)
        content.add_routes(ContentServer(cloud).routes())
        runner = web.AppRunner(content, access_log=None, shutdown_timeout=1.0)
        background: list[asyncio.Task[None]] = []
        try:
            listener = socket.create_server(("127.0.0.1", self._port))
            self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            await server.start(sock=listener)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            cloud.http_url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            background = [asyncio.create_task(one) for one in (watch_idle_servers(cloud), self._housekeeping())]
            self._started.set()
            await self._stop.wait()
        finally:
            await self._end(background)
            await cloud.web.close()
            await runner.cleanup()
            server.close()
            shutil.rmtree(cloud.sockets, ignore_errors=True)

    async def _end(self, background: list[asyncio.Task[None]]) -> None:
        for pool in self.cloud.pools.values():
            pool.close()
        while live := [one for one in self.cloud.containers.values() if not one.task.done()]:
            for one in live:
                one.kill(preempted=False)
            await asyncio.wait([one.task for one in live], timeout=0.2)
        for task in background:
            task.cancel()
        await asyncio.gather(*background, return_exceptions=True)

    async def _housekeeping(self) -> None:
        """Notice clients that are gone, and commit in the background where that was chosen."""
        every = min(self.options.commit_seconds or 1.0, 1.0)
        while True:
            await asyncio.sleep(every)
            self.cloud.apps_room.lose_silent_clients(self.options.heartbeat_timeout)
            if self.options.commit_seconds:
                for container in [one for one in self.cloud.containers.values() if not one.ended]:
                    for snapshot in container.snapshots.values():
                        async with self.cloud.volume_lock:
                            await asyncio.to_thread(snapshot.commit)

    def _in_loop(self, work: Callable[[], T]) -> T:
        async def do() -> T:
            return work()

        return self.wait_for(do())

    def wait_for(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the plane's loop and return its result."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    @property
    def environment(self) -> dict[str, str]:
        """The variables under which the ``modal`` command, or code that imports modal, talks to this plane."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("MODAL_")}
        return kept | {
            "MODAL_SERVER_URL": self.url,
            "MODAL_TOKEN_ID": TOKEN_ID,
            "MODAL_TOKEN_SECRET": TOKEN_SECRET,
            "MODAL_CONFIG_PATH": str(self.root / "no-such-file"),
            "MODAL_DISABLE_API_PROXY": "1",
            "NO_PROXY": "127.0.0.1,localhost",
            "no_proxy": "127.0.0.1,localhost",
            "COLUMNS": "200",
        }

    def start_modal(
        self,
        *arguments: str,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        python: str | Path = sys.executable,
    ) -> subprocess.Popen[str]:
        """Start the ``modal`` command of ``python``; stderr is in its stdout, and it ends with this process at most."""
        return start_kept(
            [python, "-m", "modal", *arguments], cwd=cwd, env={**self.environment, **(env or {})},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def modal(
        self,
        *arguments: str,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        timeout: float = 120.0,
        python: str | Path = sys.executable,
    ) -> subprocess.CompletedProcess[str]:
        """Run the ``modal`` command of ``python`` to its end; stderr is in its stdout.

        Raises:
            subprocess.TimeoutExpired: It took longer than ``timeout`` seconds; it is stopped.
        """
        with self.start_modal(*arguments, cwd=cwd, env=env, python=python) as process:
            try:
                output, _ = process.communicate(timeout=timeout)
            except BaseException:
                stop_kept(process, grace=0.0)
                raise
        return subprocess.CompletedProcess(process.args, process.returncode, output)

    @property
    def apps(self) -> list[App]:
        """All apps, oldest first."""
        return list(self.cloud.apps.values())

    def app(self, name: str) -> App:
        """Return the newest app of that name."""
        return next(app for app in reversed(self.apps) if app.name == name)

    @property
    def functions(self) -> dict[str, Function]:
        """What was declared, by name, the newest of each; a class without the ``.*``, variants left out."""
        found = [one for one in self.cloud.functions_by_id.values() if one.base is None]
        return {one.name.removesuffix(".*"): one for one in found}

    @property
    def variants(self) -> list[Function]:
        """What ``with_options`` and class parameters made."""
        return list(self.cloud.variants.values())

    @property
    def volumes(self) -> dict[str, Volume]:
        """Named Volumes."""
        return {one.name: one for one in self.cloud.volumes.by_id.values() if one.name}

    @property
    def containers(self) -> list[Container]:
        """All containers, oldest first, ended ones too."""
        return list(self.cloud.containers.values())

    @property
    def running(self) -> list[Container]:
        """Containers that have not ended."""
        return [one for one in self.containers if not one.ended]

    @property
    def calls(self) -> list[Call]:
        """All function calls, oldest first."""
        return list(self.cloud.calls.by_id.values())

    def kill(self, container: Container) -> None:
        """SIGKILL a container: what a preemption without grace, or a lost machine, looks like."""
        self._in_loop(container.kill)

    def preempt(self, container: Container, grace: float = 30.0) -> None:
        """Preempt a container as Modal does: SIGINT, then SIGKILL after the grace period."""
        self._in_loop(lambda: container.preempt(grace))
