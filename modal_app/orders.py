"""What clients ask of the app's own functions, and what they are told: JSON text."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from schemas.base import Schema, StageName
from schemas.errors import ErrorRecord
from schemas.plan import Constraints, PlanArtifact
from schemas.run import RunSpec


class PrepareOrder(Schema):
    """Resolve a description whose local files lie among the workspace's uploads, and plan its run."""

    spec: RunSpec


class PreparedRun(Schema):
    """A run that is written down, planned, and may be started; or the error that keeps it from it."""

    run: str | None = None
    plan: PlanArtifact | None = None
    constraints: Constraints | None = None
    warnings: tuple[str, ...] = ()
    error: ErrorRecord | None = None


class ControlOrder(Schema):
    """Carry out a run; see `RunOptions`. The caps go before those of its description.

    ``resume``: go on with what was interrupted, a request to make stages again included.
    """

    run: str
    first: StageName | None = None
    last: StageName | None = None
    fresh: tuple[StageName, ...] = ()
    resume: bool = False
    max_cost: Annotated[float, Field(gt=0.0)]
    max_gpu_hours: Annotated[float, Field(gt=0.0)] | None = None
    price_scale: Annotated[float, Field(gt=0.0)] = 1.0


class GarbageOrder(Schema):
    """Remove what no run and no version refers to once the runs called ``forget`` are forgotten."""

    forget: tuple[str, ...] = ()
    dry_run: bool = False


class Collected(Schema):
    """What was, or would be, removed: as data and in a sentence; or the error that kept it from it."""

    garbage: dict[str, Any] | None = None
    sentence: str = ""
    error: ErrorRecord | None = None


class Controlled(Schema):
    """How a controller ended: with a conclusion, an error, or by handing over to another function call."""

    conclusion: dict[str, Any] | None = None
    error: ErrorRecord | None = None
    handed_over_to: str | None = None
