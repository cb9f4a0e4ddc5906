from __future__ import annotations

import time

import pytest

from pipeline.core.context import CallContext
from pipeline.core.errors import BudgetError, Cancelled, ConfigError
from schemas.events import Event


def test_progress_tells_the_first_and_the_last_step() -> None:
    events: list[Event] = []
    context = CallContext(call_id="data", sink=events.append)
    assert list(context.track(range(1000), "reading", 1000)) == list(range(1000))
    assert events[0].data == {"label": "reading", "done": 0, "total": 1000}
    assert events[-1].data == {"label": "reading", "done": 1000, "total": 1000}
    assert len(events) < 100  # at most ten a second


def test_a_cancelled_call_stops_at_its_next_step() -> None:
    context = CallContext(cancelled=lambda: True)
    with pytest.raises(Cancelled), context.progress("reading", 2) as advance:
        advance(1)


def test_a_call_past_its_deadline_stops_with_the_key_to_raise() -> None:
    context = CallContext(deadline=time.monotonic() - 1)
    with pytest.raises(BudgetError, match=r"constraints\.max_hours"):
        context.check()
    CallContext(deadline=time.monotonic() + 60).check()


def test_secrets_are_found_by_name_and_never_shown() -> None:
    context = CallContext(secrets={"TOKEN": "hush"})
    assert context.secret("TOKEN") == "hush"
    assert "hush" not in repr(context)
    with pytest.raises(ConfigError, match="OTHER"):
        context.secret("OTHER")


def test_an_event_may_carry_keys_that_are_called_message_and_kind() -> None:
    events: list[Event] = []
    CallContext(sink=events.append).emit("failed", "in words", message="bad row", kind="data")
    assert events[0].message == "in words"
    assert events[0].data == {"message": "bad row", "kind": "data"}
