"""Events: what a running stage tells, one JSON line each, one file per call attempt."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, JsonValue

from schemas.base import Schema

EventKind = Literal["started", "progress", "metric", "log", "warning", "checkpoint", "recovery", "finished", "failed"]


class Event(Schema):
    """One thing that happened.

    ``time`` is seconds since the epoch; ``call_id`` names the stage call. ``data`` depends on the kind:
    progress: ``{"label", "done", "total"}``; metric: ``{"step", name: value, ...}``; checkpoint: ``{"step"}``;
    failed: an `ErrorRecord`. A metric may be NaN or infinite: that is what a diverging training tells.
    """

    model_config = ConfigDict(allow_inf_nan=True)

    time: float
    call_id: str
    kind: EventKind
    message: str = ""
    data: dict[str, JsonValue] = {}
