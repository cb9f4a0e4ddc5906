"""Webhooks on their way out: written in the transaction of what they tell, kept until they are taken or given up.

A delivery is claimed for `LEASE` seconds before each attempt, so that one of several processes makes it; where that
dies under it, the next one makes it again. So a receiver gets each at least once, under one ``webhook-id``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic import JsonValue
from sqlalchemy import Connection, Engine, delete, func, insert, select, update

from pipeline.service.store.database import new_id, now, paged
from pipeline.service.store.tables import outgoing
from schemas.outgoing import DeliveryState, EventType, OutgoingDelivery, OutgoingEvent

LEASE: Final = 120.0
"""Seconds for which nobody else makes an attempt: longer than one lasts."""

KEPT: Final = 30 * 24 * 3600
"""Seconds for which a delivery is known after it was taken or given up."""


@dataclass(frozen=True)
class Due:
    """A delivery that its claimer is to attempt; ``attempts`` counts this one."""

    id: str
    url: str
    body: str
    attempts: int


class Outbox:
    """The table of outgoing webhooks.

    Args:
        engine: of an open database.
        addresses: where events go that are added; deliveries to others that were added before stay what they are.
    """

    def __init__(self, engine: Engine, addresses: Sequence[str] = ()) -> None:
        self._engine = engine
        self._addresses = tuple(dict.fromkeys(addresses))

    def add(self, connection: Connection, event: OutgoingEvent) -> None:
        """Note an event for every address, within the transaction of what it tells."""
        body, at = event.model_dump_json(), now()
        for url in self._addresses:
            named = {"id": new_id("wh"), "event": event.id, "type": event.type, "url": url, "body": body}
            stands = {"created_at": at, "state": "pending", "attempts": 0, "next_at": float(at)}
            connection.execute(insert(outgoing).values({**named, **stands}))

    def claim(self, time: float) -> Due | None:
        """Take the delivery that has been due longest; nobody else gets it for `LEASE` seconds."""
        waiting = select(outgoing).where(outgoing.c.state == "pending", outgoing.c.next_at <= time)
        with self._engine.connect() as connection:
            found = connection.execute(waiting.order_by(outgoing.c.next_at, outgoing.c.number).limit(1)).one_or_none()
        if found is None:
            return None
        same = (outgoing.c.id == found.id, outgoing.c.state == "pending", outgoing.c.next_at == found.next_at)
        taken = update(outgoing).where(*same).values(next_at=time + LEASE, attempts=found.attempts + 1)
        with self._engine.begin() as connection:
            if connection.execute(taken).rowcount == 0:
                return None
        return Due(found.id, found.url, found.body, found.attempts + 1)

    def end(self, name: str, state: DeliveryState, http_status: int | None, problem: str | None = None) -> None:
        """Note that a delivery was taken, or is given up."""
        ended = {"state": state, "next_at": None, "ended_at": now(), "http_status": http_status, "problem": problem}
        self._change(name, ended)

    def put_off(self, name: str, until: float, http_status: int | None, problem: str) -> None:
        """Note that an attempt failed, and when the next one is."""
        self._change(name, {"next_at": until, "http_status": http_status, "problem": problem})

    def get(self, name: str) -> OutgoingDelivery | None:
        """Return a delivery by its id."""
        with self._engine.connect() as connection:
            row = connection.execute(select(outgoing).where(outgoing.c.id == name)).one_or_none()
        return None if row is None else _delivery(row)

    def page(
        self, *, after: str | None = None, limit: int = 100, state: DeliveryState | None = None
    ) -> tuple[list[OutgoingDelivery], bool]:
        """Return a page of deliveries, the newest first, and whether there are more. Raises UnknownCursor."""
        query = select(outgoing)
        if state is not None:
            query = query.where(outgoing.c.state == state)
        rows, more = paged(self._engine, outgoing, query, after=after, limit=limit, order="desc")
        return [_delivery(row) for row in rows], more

    def count(self) -> Mapping[str, int]:
        """Return how many deliveries are in each state."""
        with self._engine.connect() as connection:
            query = select(outgoing.c.state, func.count().label("number")).group_by(outgoing.c.state)
            return {row.state: row.number for row in connection.execute(query)}

    def revive(self, names: Sequence[str] | None = None) -> list[str]:
        """Have dead deliveries, all or those named, sent again from their first attempt on; return their ids."""
        dead = select(outgoing.c.id).where(outgoing.c.state == "dead")
        if names is not None:
            dead = dead.where(outgoing.c.id.in_(names))
        fresh = {"state": "pending", "attempts": 0, "next_at": float(now()), "ended_at": None}
        with self._engine.begin() as connection:
            found = list(connection.execute(dead.order_by(outgoing.c.number)).scalars())
            connection.execute(update(outgoing).where(outgoing.c.id.in_(found)).values(fresh))
        return found

    def forget(self) -> None:
        """Delete deliveries that ended more than `KEPT` seconds ago."""
        with self._engine.begin() as connection:
            connection.execute(delete(outgoing).where(outgoing.c.ended_at < now() - KEPT))

    def _change(self, name: str, values: Mapping[str, Any]) -> None:
        pending = (outgoing.c.id == name, outgoing.c.state == "pending")
        with self._engine.begin() as connection:
            connection.execute(update(outgoing).where(*pending).values(dict(values)))


def new_event(kind: EventType, data: dict[str, JsonValue], at: int | None = None) -> OutgoingEvent:
    """Return an event that happened now, or at a Unix time."""
    return OutgoingEvent(id=new_id("evt"), created_at=now() if at is None else at, type=kind, data=data)


def _delivery(row: Any) -> OutgoingDelivery:
    kept = {name: getattr(row, name) for name in OutgoingDelivery.model_fields if name != "body"}
    return OutgoingDelivery(**kept, body=OutgoingEvent.model_validate_json(row.body))
