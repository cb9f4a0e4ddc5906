"""How often, on how much, and for how long a service retrains what it is told to."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from schemas.base import Schema
from schemas.run import Promote

Hours = Annotated[float, Field(ge=0.0, le=8784.0)]


class GatherPolicy(Schema):
    """When rows that came one delivery after another become a run.

    ``minimum_rows`` have to wait, and none may have come for ``quiet_minutes``, so that many small deliveries are one
    run; where they never cease, it starts once the oldest waits twelve times as long. ``hold_out`` and ``promote`` are
    those of the retraining.
    """

    minimum_rows: Annotated[int, Field(ge=1, le=100_000)] = 100
    quiet_minutes: Annotated[float, Field(ge=0.0, le=10_080.0)] = 10.0
    hold_out: Annotated[float, Field(ge=0.0, le=0.5)] = 0.25
    promote: Promote = "candidate"


class RetrainPolicy(Schema):
    """What retrainings that webhooks order may take.

    ``cooldown_hours``: the least time between the beginnings of two retrainings of one name. ``monthly_runs``: the most
    of all names in a calendar month (UTC). ``max_hours``: the most that one may train, whatever it asks for.
    """

    cooldown_hours: Hours = 0.0
    monthly_runs: Annotated[int, Field(ge=0)] | None = None
    max_hours: Annotated[float, Field(gt=0.0)] | None = None
    data: GatherPolicy = GatherPolicy()
