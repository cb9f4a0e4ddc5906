"""A job's events as they happen: server-sent events, the oldest first, until the job has ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from fastapi.concurrency import run_in_threadpool

from pipeline.service.store.events import EventStore
from pipeline.service.store.records import Records
from schemas.fine_tuning import JobEvent

POLL_SECONDS: Final = 0.5
_PAGE: Final = 100
_SILENCE: Final = 15.0
"""Seconds without an event after which a comment shows that the connection lives."""


async def event_stream(records: Records, job: str, after: str | None) -> AsyncIterator[str]:
    """Yield every event behind ``after`` (all, where there is none), then ``[DONE]`` once nothing more can happen."""
    silent = 0.0
    while True:
        known = await run_in_threadpool(
            records.jobs.get, job
        )  # before the events: what ends a job comes with its event
        found = await run_in_threadpool(_next, records.events, job, after)
        for event in found:
            yield f"data: {event.model_dump_json()}\n\n"
            after = event.id
        if found:
            silent = 0.0
            continue
        if known is None or known.has_ended:
            yield "data: [DONE]\n\n"
            return
        await asyncio.sleep(POLL_SECONDS)
        silent += POLL_SECONDS
        if silent >= _SILENCE:
            silent = 0.0
            yield ": still there\n\n"


def _next(events: EventStore, job: str, after: str | None) -> list[JobEvent]:
    found, _ = events.page(job, after=after, limit=_PAGE, order="asc")
    return found
