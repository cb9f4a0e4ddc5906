"""What the service asks of a runner, and what the runner tells of a job: JSON across processes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from schemas.base import Schema
from schemas.errors import ErrorRecord
from schemas.events import Event
from schemas.register import Verdict
from schemas.run import RunSpec


class JobOrder(Schema):
    """Carry out one job: a run description, whose relative paths start at ``folder``, in the workspace ``root``.

    ``learning_rate_multiplier`` scales the rate that the plan chooses. Checkpoints that can be asked are kept below
    ``checkpoints``.
    """

    job: str
    root: Path
    folder: Path
    checkpoints: Path
    spec: RunSpec
    learning_rate_multiplier: Annotated[float, Field(gt=0.0)] | None = None


class StepMetrics(Schema):
    """A logged step: losses in nats per trained token."""

    step: int
    train_loss: float | None = None
    valid_loss: float | None = None
    learning_rate: float | None = None


class JobResult(Schema):
    """How a job ended: with a registered version, or with the error that stopped it."""

    error: ErrorRecord | None = None
    failed_call: str | None = None
    version: str | None = None
    verdict: Verdict | None = None
    refused_because: tuple[str, ...] = ()
    trained_tokens: int | None = None
    steps: tuple[StepMetrics, ...] = ()

    @model_validator(mode="after")
    def _ended_somehow(self) -> JobResult:
        if (self.error is None) == (self.version is None):
            raise ValueError("a job ends with a version or with an error")
        return self


class SavedCheckpoint(Schema):
    """A checkpoint that is kept: the losses of its step, and its folder relative to the workspace.

    ``dropped`` are the steps of older ones that gave way to it.
    """

    metrics: StepMetrics
    folder: str
    dropped: tuple[int, ...] = ()


class JobMessage(Schema):
    """One thing that a runner tells of a job under way."""

    run: str | None = None
    event: Event | None = None
    checkpoint: SavedCheckpoint | None = None
    result: JobResult | None = None
