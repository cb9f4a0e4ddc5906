"""A rollout: how a candidate takes traffic from the champion step by step, and what sends it back."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, JsonValue, model_validator

from schemas.base import Schema, Slug

Sticky = Literal["user", "conversation", "key"]
"""What stays with one version: whoever asks (``safety_identifier`` or ``user``), a conversation, or an API key."""

Arm = Literal["champion", "candidate"]

Metric = Literal["errors", "latency", "refusals", "length", "feedback"]

DecisionKind = Literal["promote", "hold", "rollback"]

EventKind = Literal["start", "promote", "hold", "rollback", "cancel", "registry"]

RolloutStatus = Literal["running", "promoted", "rolled_back", "cancelled"]

Share = Annotated[float, Field(ge=0.0, le=1.0)]

REFUSALS = (
    "i can't",
    "i cannot",
    "i can not",
    "i'm sorry, but i can",
    "i am sorry, but i can",
    "sorry, i can't",
    "i'm unable to",
    "i am unable to",
    "i won't",
    "as an ai",
)
"""How English answers begin that refuse."""


class Guardrail(Schema):
    """What must not become worse.

    ``margin``: by how much the candidate's mean may be worse than the champion's; shown to be more, it is rolled back.
    ``proof``: a step is only left once it is shown that the margin is kept, not just when nothing speaks against it.
    """

    margin: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.01
    proof: bool = False


class LatencyGuardrail(Guardrail):
    """The share of slow answers: slower than ``slow_ms``, or than a quantile of the champion's own where that is null.

    ``of``: milliseconds to the first byte of the answer, or to its last.
    """

    margin: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.05
    slow_ms: Annotated[float, Field(gt=0.0)] | None = None
    quantile: Annotated[float, Field(gt=0.5, lt=1.0)] = 0.95
    of: Literal["first_byte", "answer"] = "answer"


class LengthGuardrail(Guardrail):
    """The share of answers shorter or longer than all but ``outside`` of the champion's, by characters."""

    margin: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.1
    outside: Annotated[float, Field(gt=0.0, lt=0.5)] = 0.05


class RefusalGuardrail(Guardrail):
    """The share of refusals: what the engine marks as one, or what begins with one of ``phrases`` (in lower case)."""

    margin: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.02
    phrases: tuple[Annotated[str, Field(min_length=3, max_length=200)], ...] = REFUSALS


class FeedbackGuardrail(Guardrail):
    """The mean of 1 - score over the answers that somebody rated; scores are 0 to 1."""

    margin: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.02


class Guardrails(Schema):
    """Every guardrail; null leaves one out."""

    errors: Guardrail | None = Guardrail()
    latency: LatencyGuardrail | None = LatencyGuardrail()
    refusals: RefusalGuardrail | None = RefusalGuardrail()
    length: LengthGuardrail | None = LengthGuardrail()
    feedback: FeedbackGuardrail | None = FeedbackGuardrail()

    def declared(self) -> dict[Metric, Guardrail]:
        """Return those that are not left out."""
        found: dict[Metric, Guardrail | None] = {
            "errors": self.errors,
            "latency": self.latency,
            "refusals": self.refusals,
            "length": self.length,
            "feedback": self.feedback,
        }
        return {metric: guardrail for metric, guardrail in found.items() if guardrail is not None}


class RolloutPolicy(Schema):
    """How a candidate takes over.

    ``steps``: its share of traffic in percent, one after the other; the last is 100, at which it is champion.
    ``minimum_requests``: answers of the candidate in a step before it may leave it.
    ``alpha``: the most that a candidate no worse than its margins is ever rolled back, all guardrails together.
    ``sticky``: what stays with one version; ``fallback``: where the candidate fails before its answer has begun, the
    champion answers. ``shadow``: the share of the champion's requests of which the candidate gets a copy, whose answer
    nobody sees; it decides nothing.
    """

    steps: Annotated[tuple[Annotated[float, Field(gt=0.0, le=100.0)], ...], Field(min_length=1)] = (
        5.0,
        25.0,
        50.0,
        100.0,
    )
    minimum_requests: Annotated[int, Field(ge=1)] = 200
    alpha: Annotated[float, Field(gt=0.0, lt=0.5)] = 0.05
    sticky: Sticky = "user"
    fallback: bool = True
    shadow: Share = 0.0
    guardrails: Guardrails = Guardrails()

    @model_validator(mode="after")
    def _steps_lead_to_everything(self) -> RolloutPolicy:
        if any(later <= earlier for earlier, later in zip(self.steps, self.steps[1:], strict=False)):
            raise ValueError("each step must be more than the one before")
        if self.steps[-1] != 100.0:
            raise ValueError("the last step must be 100")
        if not self.guardrails.declared():
            raise ValueError("a rollout needs a guardrail: leave one of them in")
        return self


class Reading(Schema):
    """What a guardrail says: means over both arms' answers, and their difference with its confidence sequence.

    ``difference`` (candidate minus champion, positive is worse), ``low`` and ``high`` are over pairs of neighbors in
    time. ``e_value`` is the evidence for a difference above ``margin``, ``p_value`` one over the most that it ever was,
    ``level`` what that must not fall below; ``p_kept`` is that of the opposite, a difference below the margin.
    """

    guardrail: Metric
    champion: float | None
    candidate: float | None
    champion_answers: int
    candidate_answers: int
    pairs: int
    difference: float | None
    low: float
    high: float
    margin: float
    e_value: float
    p_value: float
    p_kept: float
    level: float
    exceeded: bool
    kept: bool


class RolloutDecision(Schema):
    """What follows from the readings. ``before`` and ``after`` are percent of traffic; counts are of this step."""

    kind: DecisionKind
    before: float
    after: float
    reason: str
    champion_answers: int
    candidate_answers: int
    readings: tuple[Reading, ...]


class RolloutEvent(Schema):
    """A decision as it is kept, what an operator did, or how the registry took it. ``time`` is Unix seconds."""

    id: str
    rollout: str
    time: float
    kind: EventKind
    reason: str
    champion: str
    candidate: str
    before: float
    after: float
    numbers: dict[str, JsonValue] = {}


class RolloutObject(Schema):
    """A rollout as the API has it; ``percent`` is the candidate's share now."""

    id: str
    object: Literal["rollout"] = "rollout"
    name: str
    champion: str
    candidate: str
    created: float
    status: RolloutStatus
    percent: float
    policy: RolloutPolicy
    readings: tuple[Reading, ...]
    events: tuple[RolloutEvent, ...]


class RolloutRequest(Schema):
    """The body of ``POST /v1/rollouts``: which version takes over a name, and how."""

    name: Slug
    candidate: Annotated[str, Field(min_length=3, max_length=80)]
    policy: RolloutPolicy = RolloutPolicy()


class CancelRequest(Schema):
    """The body of ``POST /v1/rollouts/{id}/cancel``."""

    reason: Annotated[str, Field(min_length=1, max_length=500)]
