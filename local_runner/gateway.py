"""The gateway on this machine: one process with one event loop, its records beside those of the service."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web
from filelock import FileLock, Timeout
from pydantic import ValidationError

from local_runner.cli.common import registry
from local_runner.notify import Notify
from local_runner.service import listen, open_courier, open_records, shown_host
from local_runner.variables import SERVICE_KEY
from pipeline.control.versions import promote
from pipeline.core.errors import ConfigError, IntegrityError, RegistryError
from pipeline.core.registry import Registry, resolve
from pipeline.core.spec import describe_error, parse_mapping, read_yaml_text
from pipeline.core.tracking import TRACKING_URI
from pipeline.core.workspace import Store
from pipeline.execute import load_version
from pipeline.monitor.partitions import FOLDER
from pipeline.service.api.keys import Keyring
from pipeline.service.api.rates import Rates
from pipeline.service.gateway.app import gateway_app
from pipeline.service.outgoing.courier import Courier
from schemas.feedback import VersionFacts
from schemas.gateway import GatewayConfig

STOP_SECONDS = 20.0
"""Time for answers in flight after a signal."""

_LINGER_SECONDS = 2.0
_SWITCH_SECONDS = 0.0005
"""How long the thread that writes may keep requests waiting; Python's own 5 ms are longer than an answer takes."""

_WHAT = "gateway's configuration"


@dataclass(frozen=True)
class GatewayOptions:
    """How the gateway is brought up.

    ``operator_key`` is one that an environment variable holds; ``requests_per_minute``: of a key that
    has no limit of its own. ``notify``: who is told of rollouts.
    """

    root: Path
    host: str
    port: int
    database: str | None
    operator_key: str | None
    requests_per_minute: int | None = None
    notify: Notify = field(default_factory=Notify)


def read_gateway_config(path: Path) -> GatewayConfig:
    """Read a configuration.

    Raises:
        SourceError: the file cannot be read.
        ConfigError: it is not YAML, or no configuration; the message holds every error.
    """
    values = parse_mapping(read_yaml_text(path, _WHAT), str(path), _WHAT)
    try:
        return GatewayConfig.model_validate(values)
    except ValidationError as error:
        lines = dict.fromkeys(describe_error(dict(item), GatewayConfig) for item in error.errors())
        raise ConfigError("\n  ".join(lines), where=str(path), fix="see docs/gateway.md") from error


class WorkspaceCatalogue:
    """The registry of a workspace, opened when it is first asked: see `Catalogue`.

    Args:
        root: the workspace.
        open_registry: opens its registry.
    """

    def __init__(self, root: Path, open_registry: Callable[[], Registry]) -> None:
        self._root = root
        self._open = open_registry
        self._lock = threading.Lock()
        self._known: dict[str, VersionFacts] = {}

    def champion(self, name: str) -> str | None:
        """See `Catalogue.champion`."""
        with self._lock:
            number = self._open().alias(name, "champion") if self._exists() else None
        return None if number is None else f"{name}@{number}"

    def facts(self, version: str) -> VersionFacts | None:
        """See `Catalogue.facts`; a version never changes, so it is looked up once."""
        with self._lock:
            if version not in self._known and self._exists():
                try:
                    self._known[version] = self._look_up(version)
                except RegistryError:
                    return None
            return self._known.get(version)

    def promote(self, version: str) -> None:
        """See `Catalogue.promote`."""
        with self._lock:
            if self._exists():
                promote(self._root, self._open(), version, None)

    def _exists(self) -> bool:
        return (self._root / "mlflow.db").is_file() or bool(os.environ.get(TRACKING_URI, "").strip())

    def _look_up(self, version: str) -> VersionFacts:
        found = resolve(self._open(), version)
        try:
            decision = load_version(Store(self._root), found).artifact.decision
        except IntegrityError:  # its artifacts are elsewhere; the registry still knows what it was made of
            decision = None
        return VersionFacts(
            version=version,
            artifact=f"{found.ref.stage}/{found.ref.fingerprint}",
            content_digest=found.content_digest,
            data_digest=found.digests.get("data_source"),
            template_digest=found.digests.get("template"),
            spec_digest=found.digests.get("spec"),
            verdict=found.verdict,
            decision=decision,
        )


def serve(config: GatewayConfig, options: GatewayOptions, announce: Callable[[str], None]) -> int:
    """Pass requests on until SIGINT or SIGTERM; then answers in flight are finished and everything is written.

    Raises:
        ConfigError: nobody has a key, the address is taken, another gateway is up here, or a champion is nowhere.
    """
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    records = open_records(options.root, options.database, options.notify.urls)
    lock = FileLock(options.root / "service" / "gateway.lock")
    switch = sys.getswitchinterval()
    try:
        keyring = Keyring(records.keys, options.operator_key, where=SERVICE_KEY)
        if keyring.is_empty:
            raise ConfigError("nobody has a key", where="hone gateway", fix="make one: hone key create NAME")
        with lock.acquire(timeout=0), listen(options.host, options.port) as listening:
            catalogue = WorkspaceCatalogue(options.root, lambda: registry(options.root))
            rates = Rates(options.requests_per_minute)
            app = gateway_app(config, records, keyring, secrets(config), options.root / FOLDER, catalogue, rates)
            host, port = listening.getsockname()[:2]
            sys.setswitchinterval(_SWITCH_SECONDS)
            with _sending(open_courier(records, options.notify)):
                asyncio.run(_run(app, listening, lambda: announce(f"hone is at http://{shown_host(host)}:{port}/v1")))
            return 0
    except Timeout:
        raise ConfigError(
            "another gateway is up in this workspace",
            where=str(options.root),
            fix="stop it, or name another --workspace",
        ) from None
    finally:
        sys.setswitchinterval(switch)
        records.close()


@contextmanager
def _sending(courier: Courier | None) -> Iterator[None]:
    """Send webhooks meanwhile, if there is anything to sign them with."""
    if courier is None:
        yield
        return
    courier.start()
    try:
        yield
    finally:
        courier.stop()


def secrets(config: GatewayConfig) -> Mapping[str, str]:
    """Return the environment variables that the engines' keys are in, as far as they are set."""
    names = {engine.api_key_env for engine in config.engines.values() if engine.api_key_env is not None}
    return {name: os.environ[name] for name in names if name in os.environ}


async def _run(app: web.Application, listening: socket.socket, up: Callable[[], None]) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    runner = web.AppRunner(
        app,
        access_log=None,
        handler_cancellation=True,  # whoever goes away frees the engine
        lingering_time=_LINGER_SECONDS,
        shutdown_timeout=STOP_SECONDS,
    )
    await runner.setup()
    try:
        await web.SockSite(runner, listening).start()
        gc.collect()
        gc.freeze()  # what was imported stays, and need not be looked through again and again
        up()
        await stopped.wait()
    finally:
        await runner.cleanup()
