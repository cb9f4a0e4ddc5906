"""The ledger of a run's money: what each attempt took, and what calls under way may still take."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import Field, model_validator

from schemas.base import Schema

AttemptKind = Literal["stage", "controller", "preflight", "serving"]

CapKey = Literal["constraints.max_cost", "constraints.max_gpu_hours"]
"""The keys of a run description that cap what a run may take."""

NotNegative = Annotated[float, Field(ge=0.0)]
AboveZero = Annotated[float, Field(gt=0.0)]


class Resources(Schema):
    """What containers are billed for: on each of ``nodes``, ``count`` GPUs, cores and memory.

    ``cpu`` (cores) and ``memory_gib`` are what was asked for; where a provider bills what was used if that is more, the
    one who writes the record puts that in.
    """

    gpu: str | None = None
    count: Annotated[int, Field(ge=0)] = 0
    nodes: Annotated[int, Field(ge=1)] = 1
    cpu: AboveZero
    memory_gib: AboveZero

    @model_validator(mode="after")
    def _gpu_and_count_agree(self) -> Resources:
        if (self.gpu is None) != (self.count == 0):
            raise ValueError("give a GPU's name together with a count of at least 1, or neither")
        return self

    @property
    def gpus(self) -> int:
        """GPUs on all nodes together."""
        return self.count * self.nodes


class Attempt(Resources):
    """One container's, or one cluster's, work on one call; ``attempt`` names it among those of the call.

    Times are unix seconds by the container's clock. ``last_seen`` is renewed while it lives; ``ended`` stays null where
    it was killed, so that it counts to when it was last seen.
    """

    call_id: Annotated[str, Field(min_length=1)]
    attempt: Annotated[str, Field(min_length=1)]
    kind: AttemptKind = "stage"
    started: float
    last_seen: float
    ended: float | None = None

    @model_validator(mode="after")
    def _times_are_in_order(self) -> Attempt:
        if self.last_seen < self.started or (self.ended is not None and self.ended < self.started):
            raise ValueError("an attempt is seen, and ends, no earlier than it starts")
        return self

    @property
    def until(self) -> float:
        """The moment up to which it is charged."""
        return self.last_seen if self.ended is None else self.ended

    @property
    def seconds(self) -> float:
        """The seconds that are charged."""
        return self.until - self.started


class Allowance(Schema):
    """What is set aside for one call under way.

    All its attempts together may take ``seconds`` on ``resources``, beside the ``seconds_before`` that its attempts had
    taken when this was set aside. ``limit`` is the cap that made it no longer, null where the runner's own limit did.
    """

    call_id: str
    kind: AttemptKind = "stage"
    resources: Resources
    seconds: NotNegative
    seconds_before: NotNegative = 0.0
    limit: CapKey | None = None

    def seconds_left(self, attempts: Iterable[Attempt]) -> float:
        """Return the seconds that another attempt may take, given the records of those so far; those of other calls
        do not matter.
        """
        taken = sum(attempt.seconds for attempt in attempts if attempt.call_id == self.call_id)
        return max(0.0, self.seconds - max(0.0, taken - self.seconds_before))


class LedgerRecord(Schema):
    """``runs/<run>/ledger.json``: caps in US dollars and GPU-hours, every attempt, and what is set aside.

    ``price_scale`` multiplies the price table.
    """

    max_cost: AboveZero
    max_gpu_hours: AboveZero | None = None
    price_scale: AboveZero = 1.0
    attempts: tuple[Attempt, ...] = ()
    allowances: tuple[Allowance, ...] = ()
