"""Webhook deliveries that were taken, in the database: known to every process, and after a restart."""

from __future__ import annotations

import hashlib

from sqlalchemy import Engine, delete, insert, update
from sqlalchemy.exc import IntegrityError

from pipeline.service.deliveries import KEEP, PENDING
from pipeline.service.store.tables import deliveries


class DeliveryStore:
    """See `pipeline.service.deliveries.Deliveries`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def claim(self, delivery: str, now: float) -> bool:
        """Take an id; False where it is taken. The table's key lets one of several succeed."""
        with self._engine.begin() as connection:
            connection.execute(delete(deliveries).where(deliveries.c.ends <= now))
        try:
            with self._engine.begin() as connection:
                connection.execute(insert(deliveries).values(key=_key(delivery), ends=now + PENDING))
        except IntegrityError:
            return False
        return True

    def settle(self, delivery: str, now: float) -> None:
        """Keep an id: what it asked for was started."""
        with self._engine.begin() as connection:
            known = deliveries.c.key == _key(delivery)
            connection.execute(update(deliveries).where(known).values(ends=now + KEEP))

    def release(self, delivery: str) -> None:
        """Give an id back: what it asked for was not started."""
        with self._engine.begin() as connection:
            connection.execute(delete(deliveries).where(deliveries.c.key == _key(delivery)))


def _key(delivery: str) -> str:
    return hashlib.sha256(delivery.encode()).hexdigest()
