"""The service on this machine: the application behind uvicorn, its records beside the workspace, runs as processes."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import uvicorn
from filelock import FileLock, Timeout

from local_runner.cli.common import registry
from local_runner.engines import LocalEngines
from local_runner.jobs import LocalJobs
from local_runner.notify import Notify
from local_runner.retraining import RetrainingDesk
from local_runner.serving import signals
from local_runner.variables import NOTIFY_SECRET, SERVICE_KEY
from pipeline.core.errors import ConfigError
from pipeline.service.api.keys import Keyring
from pipeline.service.api.rates import Rates
from pipeline.service.app import Parts, Webhook, service_app
from pipeline.service.files.shelf import Shelf
from pipeline.service.jobs.supervisor import Supervisor
from pipeline.service.outgoing.courier import Courier
from pipeline.service.retraining.gatherer import Gatherer
from pipeline.service.store.database import sqlite_url
from pipeline.service.store.pool import RowPool
from pipeline.service.store.records import Records
from schemas.retraining import RetrainPolicy
from schemas.serve import Engine

STOP_SECONDS = 10
"""Time for requests in flight after a signal; those that follow a job would never end."""

_BACKLOG = 128


@dataclass(frozen=True)
class ServiceOptions:
    """How the service is brought up.

    ``engine`` None is each version's own; at most ``engines`` run at once. ``operator_key`` is one that an environment
    variable holds; it may do everything. With a ``webhook_secret`` signed deliveries start retrainings, which may take
    what ``retraining`` says. ``requests_per_minute``: of a key that has no limit of its own. ``notify``: who is told of
    jobs.
    """

    root: Path
    host: str
    port: int
    database: str | None
    organization: str
    max_file_bytes: int
    workers: int
    engine: Engine | None
    engines: int
    operator_key: str | None
    webhook_secret: str | None = None
    requests_per_minute: int | None = None
    retraining: RetrainPolicy = field(default_factory=RetrainPolicy)
    notify: Notify = field(default_factory=Notify)


def open_records(root: Path, database: str | None, told: Sequence[str] = ()) -> Records:
    """Return the records of a workspace: in SQLite there, or behind the address ``database``.

    Addresses in ``told`` get webhooks of what is noted in them.

    Raises:
        HoneError: see `pipeline.service.store.database.open_database`.
    """
    folder = root / "service"
    folder.mkdir(parents=True, exist_ok=True)
    return Records.open(database or sqlite_url(folder / "service.db"), told)


def open_courier(records: Records, notify: Notify) -> Courier | None:
    """Return what sends webhooks; None without a secret. Raises ConfigError where a secret is weak."""
    return Courier(records.outbox, notify.secrets, where=NOTIFY_SECRET) if notify.secrets else None


def serve(options: ServiceOptions, announce: Callable[[str], None]) -> int:
    """Answer requests and carry jobs out until SIGINT or SIGTERM; then runs save what they have.

    Raises:
        ConfigError: nobody has a key, the operator's is weak, the address is taken, or another service is up here.
    """
    records = open_records(options.root, options.database, options.notify.urls)
    lock = FileLock(options.root / "service" / "service.lock")
    try:
        keyring = Keyring(records.keys, options.operator_key, where=SERVICE_KEY)
        if keyring.is_empty:
            raise ConfigError("nobody has a key", where="hone service", fix="make one: hone key create NAME")
        with lock.acquire(timeout=0), listen(options.host, options.port) as listening:
            shelf = Shelf(options.root / "service" / "files")
            supervisor = Supervisor(
                records, shelf, LocalJobs(), options.root, options.organization, workers=options.workers
            )
            engines = LocalEngines(
                options.root, partial(registry, options.root), engine=options.engine, most=options.engines
            )
            webhook = None
            if options.webhook_secret is not None:
                desk = RetrainingDesk(records, shelf, supervisor, options.retraining)
                gatherer = Gatherer(RowPool(records.engine), options.retraining.data, desk.start_waiting)
                webhook = Webhook(options.webhook_secret, desk.start, desk.accept, gatherer)
            courier = open_courier(records, options.notify)
            parts = Parts(records, shelf, keyring, supervisor, engines, options.max_file_bytes)
            rates = Rates(options.requests_per_minute)
            app = service_app(replace(parts, webhook=webhook, courier=courier, rates=rates))
            return _run(app, listening, announce)
    except Timeout:
        raise ConfigError(
            "another service is up in this workspace",
            where=str(options.root),
            fix="stop it, or name another --workspace",
        ) from None
    finally:
        records.close()


def _run(app: object, listening: socket.socket, announce: Callable[[str], None]) -> int:
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    config = uvicorn.Config(
        app,  # type: ignore[arg-type]
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=STOP_SECONDS,
        lifespan="on",
    )
    host, port = listening.getsockname()[:2]
    with signals():  # uvicorn sends itself again what stopped it
        server = _Announcing(config, lambda: announce(f"hone is at http://{shown_host(host)}:{port}/v1"))
        server.run(sockets=[listening])
    return 0 if server.started else 1


class _Announcing(uvicorn.Server):
    """Says when it is up."""

    def __init__(self, config: uvicorn.Config, up: Callable[[], None]) -> None:
        super().__init__(config)
        self._up = up

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then say so."""
        await super().startup(sockets)
        if self.started:
            self._up()


def shown_host(host: str) -> str:
    """Return a host as addresses have it."""
    return f"[{host}]" if ":" in host else host


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens there. Raises ConfigError where that cannot be."""
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        raise ConfigError(
            f"cannot listen there: {error.strerror or error}", where=f"{host}:{port}", fix="give another --port"
        ) from error
    return listening
