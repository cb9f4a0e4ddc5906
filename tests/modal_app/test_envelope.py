"""What an attempt may take after those before it, and what it takes up."""

from __future__ import annotations

from pathlib import Path

import pytest

from modal_app.envelope import Envelope
from schemas.artifacts import StageCall
from schemas.ledger import Allowance, Attempt, Resources
from schemas.request import CallRequest

BILLED = Resources(cpu=4.0, memory_gib=8.0)


def envelope(seconds: float | None, *, restart: bool = False, before: float = 0.0) -> Envelope:
    call = StageCall(id="train.seed-0", stage="train", config={})
    request = CallRequest(call=call, root=Path("/hone"), seconds=seconds, restart=restart)
    allowance = Allowance(call_id=call.id, resources=BILLED, seconds=seconds or 1000.0, seconds_before=before)
    return Envelope(run="run-1", request=request, resources=BILLED, allowance=allowance)


def attempt(name: str, seconds: float) -> Attempt:
    return Attempt(
        call_id="train.seed-0", attempt=name, cpu=4.0, memory_gib=8.0, started=0.0, last_seen=seconds, ended=None
    )


@pytest.mark.parametrize(
    ("allowed", "before", "earlier", "left"),
    [
        (1000.0, 0.0, [], 995.0),  # five seconds are kept for stopping
        (20.0, 0.0, [], 18.0),  # of a short time a tenth
        (1000.0, 0.0, [300.0, 100.0], 595.0),  # 1000 - 400 - 5: two lost containers took 400
        (1000.0, 400.0, [300.0, 100.0], 995.0),  # they were charged before this allowance was set aside
        (100.0, 0.0, [150.0], 0.0),
    ],
)
def test_the_time_of_lost_containers_is_gone(allowed: float, before: float, earlier: list[float], left: float) -> None:
    attempts = [attempt(f"in-1-{number}", seconds) for number, seconds in enumerate(earlier)]
    request = envelope(allowed, before=before).for_attempt("in-1", attempts)
    assert request.seconds == pytest.approx(left)


def test_a_call_that_begins_anew_does_so_once() -> None:
    """The container that follows a lost one takes up what that one saved; another input's attempts do not count."""
    asked = envelope(None, restart=True)
    assert asked.for_attempt("in-2", [attempt("in-1-5", 10.0)]).restart
    assert not asked.for_attempt("in-1", [attempt("in-1-5", 10.0)]).restart
    assert asked.for_attempt("in-1", []).seconds is None
