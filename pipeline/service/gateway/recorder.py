"""Writes down what happened, off the path of requests: read once an answer has gone out, written in batches."""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Final, get_args

from sqlalchemy.exc import SQLAlchemyError

from pipeline.core.errors import HoneError
from pipeline.data.personal_data import Kind, redact_value
from pipeline.monitor.rows import last_input
from pipeline.service.gateway.answers import Answer, observation, read_answer
from pipeline.service.gateway.catalogue import Catalogue
from pipeline.service.gateway.director import Director
from pipeline.service.gateway.exchange import Exchange
from pipeline.service.gateway.rotation import Rotation
from pipeline.service.gateway.store import Batch, GatewayStore, stored
from pipeline.service.gateway.table import asker
from schemas.gateway import CaptureOptions
from schemas.rollout import REFUSALS, RolloutEvent

FLUSH_SECONDS: Final = 0.2
"""How long what happened may be in memory alone."""

READ_SECONDS: Final = 0.01
"""How long an answer waits to be read: by then it has gone out, and others with it."""

MOST_WAITING: Final = 20_000
"""Answers that may wait for a database that does not answer; more are forgotten, and counted."""

_ROTATE_SECONDS = 3600.0
"""How often what was captured is written to partitions, and what is old forgotten."""

_KINDS: Final[tuple[Kind, ...]] = get_args(Kind)

_log = logging.getLogger(__name__)


@dataclass
class Recorder:
    """Takes what passed and what was decided. Used by one event loop; it writes in a thread.

    Args:
        store: where it is written.
        options: what is kept.
        catalogue: is told of promotions.
        rotation: writes what was captured to partitions, and forgets what is old.

    Attributes:
        counts: answers by (version, arm, outcome). lost: answers that could not be kept.
    """

    store: GatewayStore
    options: CaptureOptions
    catalogue: Catalogue
    rotation: Rotation
    counts: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    lost: int = 0
    is_writing: bool = True
    _director: Director | None = None
    _passed: list[Exchange] = field(default_factory=list)
    _rows: list[dict[str, Any]] = field(default_factory=list)
    _events: list[RolloutEvent] = field(default_factory=list)
    _stopped: asyncio.Event = field(default_factory=asyncio.Event)
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    _draw: Callable[[], float] = random.random
    _salt: bytes = field(default_factory=lambda: secrets.token_bytes(16))

    def follow(self, director: Director) -> None:
        """Say who is to be told of answers."""
        self._director = director

    def tell(self, event: RolloutEvent) -> None:
        """Take an event."""
        _log.warning("%s: %s (%g%% to %g%%): %s", event.candidate, event.kind, event.before, event.after, event.reason)
        self._events.append(event)

    def note(self, exchange: Exchange) -> None:
        """Take an exchange that is over; it is read a moment later."""
        if not self._passed:
            asyncio.get_running_loop().call_later(READ_SECONDS, self.read)
        self._passed.append(exchange)

    def read(self) -> None:
        """Read what has passed, and let what is under a rollout decide."""
        passed, self._passed = self._passed, []
        for exchange in passed:
            self._read(exchange)

    def _read(self, exchange: Exchange) -> None:
        director = self._director
        assert director is not None
        answer = read_answer(exchange)
        running = director.find(exchange.rollout or "")
        guardrail = None if running is None else running.state.policy.guardrails.refusals
        seen = observation(exchange, answer, REFUSALS if guardrail is None else guardrail.phrases)
        if seen is not None:
            director.observe(exchange, seen)
        outcome = "unknown" if seen is None else "failed" if seen.failed else "answered"
        self.counts[exchange.version, "shadow" if exchange.shadowed else exchange.arm or "none", outcome] += 1
        if len(self._rows) >= MOST_WAITING:
            self.lost += 1
            return
        asked = last_input(exchange.request)
        self._rows.append(
            {
                "id": exchange.id,
                "response_id": answer.id,
                "at": exchange.at,
                "key": exchange.key,
                "path": exchange.path,
                "version": exchange.version,
                "rollout": exchange.rollout,
                "arm": exchange.arm,
                "shadowed": exchange.shadowed,
                "status": exchange.status,
                "failed": seen is not None and seen.failed,
                "refused": None if seen is None else seen.refused,
                "first_byte_ms": None if seen is None else seen.first_byte_ms,
                "answer_ms": None if seen is None else seen.answer_ms,
                "length": None if seen is None else seen.length,
                "input_length": None if asked is None else len(asked),
                "confidence": answer.confidence,
                "unit": self._unit(exchange),
                **self._text(exchange, answer),
            }
        )

    def _unit(self, exchange: Exchange) -> str | None:
        """Return a name for whoever asked, or the conversation; it cannot be traced back, nor beyond this process."""
        text = asker(exchange.request, exchange.told)
        return (
            None if text is None else blake2b(text.encode(errors="replace"), digest_size=8, key=self._salt).hexdigest()
        )

    def _text(self, exchange: Exchange, answer: Answer) -> dict[str, Any]:
        if not self.options.text or (self.options.sample < 1.0 and self._draw() >= self.options.sample):
            return {"request": None, "answer": None}
        return {"request": exchange.request, "answer": answer.text}

    async def run(self) -> None:
        """Write what there is every now and then, until `stop`; a batch that is being written is finished."""
        rotate = 0.0
        while not self._stopped.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopped.wait(), FLUSH_SECONDS)
            await self.flush()
            if time.monotonic() >= rotate:
                rotate = time.monotonic() + _ROTATE_SECONDS
                await asyncio.to_thread(self._rotate)

    def stop(self) -> None:
        """End `run` after it has written what there is."""
        self._stopped.set()

    async def flush(self) -> None:
        """Write what there is. What cannot be written now waits."""
        async with self._lock:
            self.read()
            rows, events = self._rows, self._events
            if not rows and not events:
                return
            assert self._director is not None
            found = [self._director.find(rollout) for rollout in self._director.touched]
            states = [stored(running) for running in found if running is not None]
            self._director.touched.clear()
            self._rows, self._events = [], []
            try:
                said = await asyncio.to_thread(self._write, Batch(rows, events, states))
                self.is_writing = True
            except SQLAlchemyError as error:
                _log.error("nothing can be written: %s", type(error).__name__)
                self.is_writing = False
                self._rows, self._events = rows + self._rows, events + self._events
                self._director.touched |= {str(state["id"]) for state in states}
                return
            self._events = said + self._events

    def _write(self, batch: Batch) -> list[RolloutEvent]:
        """Write a batch, then tell the registry of promotions; return the events of that."""
        rows = [
            {**row, **redacted({name: row[name] for name in ("request", "answer")})} if row["request"] else row
            for row in batch.answers
        ]
        self.store.save(Batch(rows, batch.events, batch.rollouts))
        done = [event for event in batch.events if event.kind == "promote" and event.after == 100.0]
        return [self._promote(event) for event in done]

    def _promote(self, event: RolloutEvent) -> RolloutEvent:
        try:
            self.catalogue.promote(event.candidate)
            said = f"{event.candidate} is champion"
        except HoneError as error:
            said = f"the registry's champion stays: {error}"
        fields = {"id": f"{event.id}-registry", "kind": "registry", "time": time.time(), "reason": said, "numbers": {}}
        return event.model_copy(update={**fields, "before": 100.0})

    def _rotate(self) -> None:
        try:
            self.rotation.rotate(time.time())
        except (SQLAlchemyError, HoneError, OSError, ValueError) as error:
            _log.error("captured answers cannot be written to partitions: %s", type(error).__name__)


def redacted(texts: dict[str, Any]) -> dict[str, Any]:
    """Return what people wrote without personal data."""
    counts: Counter[str] = Counter()
    return {name: redact_value(text, _KINDS, counts) for name, text in texts.items()}
