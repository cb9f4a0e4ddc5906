"""All that the service remembers, as one thing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Engine, text

from pipeline.service.store.database import open_database
from pipeline.service.store.events import EventStore
from pipeline.service.store.files import FileStore
from pipeline.service.store.jobs import JobStore
from pipeline.service.store.keys import KeyStore
from pipeline.service.store.outbox import Outbox


@dataclass(frozen=True)
class Records:
    """The service's tables."""

    engine: Engine
    keys: KeyStore
    files: FileStore
    jobs: JobStore
    events: EventStore
    outbox: Outbox

    @classmethod
    def open(cls, url: str, told: Sequence[str] = ()) -> Records:
        """Return the records behind a SQLAlchemy address; see `open_database`. Addresses in ``told`` get webhooks."""
        engine = open_database(url)
        outbox = Outbox(engine, tuple(told))
        return cls(engine, KeyStore(engine), FileStore(engine), JobStore(engine, outbox), EventStore(engine), outbox)

    def ping(self) -> None:
        """Ask the database something; raises SQLAlchemyError where it does not answer."""
        with self.engine.connect() as connection:
            connection.execute(text("SELECT 1"))

    def close(self) -> None:
        """Give the connections back."""
        self.engine.dispose()
