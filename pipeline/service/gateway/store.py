"""What the gateway remembers: answers, rollouts and their events, feedback."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import Connection, Engine, Select, delete, func, insert, or_, select, update

from pipeline.monitor.partitions import DAY_SECONDS, bounds, day_of
from pipeline.service.gateway.director import Running
from pipeline.service.gateway.rollout import Rollout
from pipeline.service.gateway.tables import answers, events, feedback, metadata, rollouts
from pipeline.service.outgoing.rollout_events import outgoing_event
from pipeline.service.store.database import add_columns
from pipeline.service.store.outbox import Outbox
from schemas.rollout import RolloutEvent, RolloutPolicy

_STREAMED = 1000

Rows = Generator[Mapping[str, Any], None, None]
"""Rows as they come; whoever does not read them to their end closes it, which gives the connection back."""


@dataclass(frozen=True)
class Batch:
    """What happened since the last one: rows of answers, events, and rollouts by their id as they stand."""

    answers: Sequence[Mapping[str, Any]] = ()
    events: Sequence[RolloutEvent] = ()
    rollouts: Sequence[Mapping[str, Any]] = ()


class GatewayStore:
    """The gateway's tables in the service's database; made where they are missing.

    Args:
        engine: of an open database.
        outbox: takes what webhooks tell of rollouts.
    """

    def __init__(self, engine: Engine, outbox: Outbox | None = None) -> None:
        self._engine = engine
        self._outbox = outbox or Outbox(engine)
        metadata.create_all(engine)
        add_columns(engine, answers)

    def save(self, batch: Batch) -> None:
        """Note a batch, all of it or nothing."""
        with self._engine.begin() as connection:
            if batch.answers:
                connection.execute(insert(answers), [dict(row) for row in batch.answers])
            if batch.events:
                rows = [{"rollout": event.rollout, "event": event.model_dump(mode="json")} for event in batch.events]
                connection.execute(insert(events), rows)
                for told in filter(None, map(outgoing_event, batch.events)):
                    self._outbox.add(connection, told)
            for row in batch.rollouts:
                _put(connection, row)

    def running(self) -> list[Running]:
        """Return the rollouts that had not ended, the oldest first."""
        query = select(rollouts).where(rollouts.c.status == "running").order_by(rollouts.c.began)
        with self._engine.connect() as connection:
            return [_running(row) for row in connection.execute(query)]

    def rollouts(self, name: str | None = None) -> list[Running]:
        """Return the rollouts of a name, or all, the newest first."""
        query = select(rollouts).order_by(rollouts.c.began.desc()).limit(200)
        if name is not None:
            query = query.where(rollouts.c.name == name)
        with self._engine.connect() as connection:
            return [_running(row) for row in connection.execute(query)]

    def events(self, rollout: str, until: float | None = None) -> tuple[RolloutEvent, ...]:
        """Return a rollout's events, the oldest first; those up to a time (Unix seconds), if one is given."""
        query = select(events.c.event).where(events.c.rollout == rollout).order_by(events.c.number)
        with self._engine.connect() as connection:
            found = [RolloutEvent.model_validate(row.event) for row in connection.execute(query)]
        return tuple(event for event in found if until is None or event.time <= until)

    def answer(self, response_id: str) -> Any | None:
        """Return the row of an answer by its own or the gateway's id; the newest, where an engine gave an id twice."""
        named = or_(answers.c.id == response_id, answers.c.response_id == response_id)
        query = select(answers).where(named).order_by(answers.c.at.desc()).limit(1)
        with self._engine.connect() as connection:
            return connection.execute(query).one_or_none()

    def add_feedback(self, row: Mapping[str, Any]) -> bool:
        """Note feedback; return whether it is the first score of its answer."""
        scored = select(func.count()).where(feedback.c.answer == row["answer"], feedback.c.score.is_not(None))
        with self._engine.begin() as connection:
            earlier = connection.execute(scored).scalar_one()
            connection.execute(insert(feedback).values(dict(row)))
        return row["score"] is not None and earlier == 0

    def scores(self, answer: str) -> tuple[float, ...]:
        """Return an answer's scores, the oldest first."""
        query = select(feedback.c.score).where(feedback.c.answer == answer, feedback.c.score.is_not(None))
        with self._engine.connect() as connection:
            return tuple(row.score for row in connection.execute(query.order_by(feedback.c.at)))

    def days(self) -> list[date]:
        """Return the days (UTC) with an answer or feedback, the oldest first."""
        found: set[date] = set()
        with self._engine.connect() as connection:
            for table in (answers, feedback):
                first = connection.execute(select(func.min(table.c.at))).scalar()
                while first is not None:
                    found.add(day_of(first))
                    later = select(func.min(table.c.at)).where(table.c.at >= bounds(day_of(first))[1])
                    first = connection.execute(later).scalar()
        return sorted(found)

    def answers_between(self, start: float, end: float) -> Rows:
        """Yield the answers of a time, by version and then by time."""
        query = select(answers).where(answers.c.at >= start, answers.c.at < end)
        return self._stream(query.order_by(answers.c.version, answers.c.at, answers.c.id))

    def feedback_between(self, start: float, end: float) -> Rows:
        """Yield the feedback of a time, the oldest first."""
        query = select(feedback).where(feedback.c.at >= start, feedback.c.at < end)
        return self._stream(query.order_by(feedback.c.at, feedback.c.id))

    def _stream(self, query: Select[Any]) -> Rows:
        with self._engine.connect().execution_options(yield_per=_STREAMED) as connection:
            for row in connection.execute(query).mappings():
                yield {str(name): value for name, value in row.items()}

    def drop_texts(self, start: float, end: float) -> None:
        """Remove what was asked and answered in a time; the rest of the answers stays."""
        old = update(answers).where(answers.c.at >= start, answers.c.at < end, answers.c.request.is_not(None))
        with self._engine.begin() as connection:
            connection.execute(old.values(request=None, answer=None))

    def forget(self, days: int, now: float) -> int:
        """Delete answers that are older, with their feedback; return how many they were."""
        before = now - days * DAY_SECONDS
        old = select(answers.c.id).where(answers.c.at < before)
        with self._engine.begin() as connection:
            connection.execute(delete(feedback).where(feedback.c.answer.in_(old)))
            return connection.execute(delete(answers).where(answers.c.at < before)).rowcount


def stored(running: Running) -> dict[str, Any]:
    """Return a rollout as a row."""
    return {
        "id": running.id,
        "name": running.name,
        "champion": running.champion,
        "candidate": running.candidate,
        "began": running.began,
        "status": running.state.status,
        "policy": running.state.policy.model_dump(mode="json"),
        "state": running.state.dump(),
    }


def _put(connection: Connection, row: Mapping[str, Any]) -> None:
    values = dict(row)
    if connection.execute(update(rollouts).where(rollouts.c.id == row["id"]).values(values)).rowcount == 0:
        connection.execute(insert(rollouts).values(values))


def _running(row: Any) -> Running:
    state = Rollout(RolloutPolicy.model_validate(row.policy), row.state)
    return Running(row.id, row.name, row.champion, row.candidate, row.began, state)
