"""What a stage tells, as a job's events."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from pipeline.service.jobs.told import Teller
from pipeline.service.store.events import NewEvent
from schemas.events import Event

ROOT, SHELF = Path("/srv/work"), Path("/srv/work/service/files")


def event(kind: Any, message: str = "", **data: Any) -> Event:
    return Event(time=1.0, call_id="train.seed-0", kind=kind, message=message, data=data)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (event("started"), NewEvent("train.seed-0 started")),
        (event("finished"), NewEvent("train.seed-0 finished")),
        (event("log", "going on from step 4"), NewEvent("train.seed-0: going on from step 4")),
        (event("warning", f"{SHELF}/file-a.jsonl: odd"), NewEvent("train.seed-0: file-a.jsonl: odd", "warn")),
        (event("recovery", "halved"), NewEvent("train.seed-0: halved", "warn")),
        (event("failed", f"{ROOT}/x is full"), NewEvent("train.seed-0 failed: x is full", "error")),
        (event("checkpoint", step=4), None),
        (event("progress", label="training", done=0, total=12), None),
        (event("metric", step=3, loss=math.nan), None),
        (event("metric", step=3, other=1.0), None),
        (event("metric", loss=1.0), None),
    ],
)
def test_each_kind_is_told_or_not(given: Event, expected: NewEvent | None) -> None:
    assert Teller(ROOT, SHELF).told(given) == expected


def test_numbers_have_their_names_and_place() -> None:
    teller = Teller(ROOT, SHELF)
    first = teller.told(event("metric", step=3, loss=0.25, learning_rate=1e-4))
    assert first == NewEvent(
        "Step 3: training loss=0.2500",
        data={"step": 3, "total_steps": None, "train_loss": 0.25, "learning_rate": 1e-4},
    )
    teller.told(event("progress", label="training", done=3, total=12))
    then = teller.told(event("metric", step=4, eval_loss=0.5))
    assert then == NewEvent("Step 4/12: validation loss=0.5000", data={"step": 4, "total_steps": 12, "valid_loss": 0.5})
