"""Feedback on an answer, and what an answer came from: both by the answer's id."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from schemas.base import Digest, Schema
from schemas.register import Decision, Verdict
from schemas.rollout import Arm, RolloutEvent

ResponseId = Annotated[str, StringConstraints(min_length=1, max_length=200)]
"""The ``id`` of an answer's body, or the header ``x-request-id`` that came with it."""


class FeedbackRequest(Schema):
    """The body of ``POST /v1/feedback``.

    ``thumb`` counts as a score of 1 or 0; ``correction`` is what the answer should have been.
    """

    response_id: ResponseId
    thumb: Literal["up", "down"] | None = None
    score: Annotated[float, Field(ge=0.0, le=1.0)] | None = None
    correction: Annotated[str, StringConstraints(min_length=1, max_length=100_000)] | None = None
    comment: Annotated[str, StringConstraints(max_length=10_000)] | None = None

    @model_validator(mode="after")
    def _says_something(self) -> FeedbackRequest:
        if self.thumb is None and self.score is None and self.correction is None:
            raise ValueError("give a thumb, a score or a correction")
        if self.thumb is not None and self.score is not None:
            raise ValueError("give a thumb or a score, not both")
        return self

    @property
    def value(self) -> float | None:
        """The score in [0, 1] that it means; None for a mere correction."""
        return self.score if self.thumb is None else float(self.thumb == "up")


class FeedbackObject(Schema):
    """Feedback as it was kept. ``counted``: it is the first score of that answer, and a rollout took it."""

    id: str
    object: Literal["feedback"] = "feedback"
    response_id: str
    version: str
    counted: bool


class VersionFacts(Schema):
    """What the registry knows of a version: digests of its data, template and run description, the gate's decision."""

    version: str
    artifact: str
    content_digest: Digest
    data_digest: str | None = None
    template_digest: str | None = None
    spec_digest: str | None = None
    verdict: Verdict
    decision: Decision | None = None


class Provenance(Schema):
    """Where an answer came from.

    ``registered`` is null where the registry does not know the version; ``decisions`` are the events of the rollout
    that chose it, up to when it was given. Times are Unix seconds, or milliseconds where the name says so.
    """

    response_id: str
    request_id: str
    created: float
    version: str
    rollout: str | None
    arm: Arm | None
    status: int
    failed: bool
    first_byte_ms: float | None
    answer_ms: float | None
    feedback: tuple[float, ...] = ()
    registered: VersionFacts | None
    decisions: tuple[RolloutEvent, ...]
