"""Simulated traffic of a rollout: answers of both versions are drawn, and the policy decides about them."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass

from pipeline.service.gateway.guardrails import Observation
from pipeline.service.gateway.rollout import Rollout
from schemas.rollout import (
    Arm,
    FeedbackGuardrail,
    Guardrail,
    Guardrails,
    LatencyGuardrail,
    LengthGuardrail,
    RefusalGuardrail,
    RolloutPolicy,
)

STRICT = RolloutPolicy(
    minimum_requests=100,
    guardrails=Guardrails(
        errors=Guardrail(margin=0.0),
        latency=LatencyGuardrail(margin=0.0),
        refusals=RefusalGuardrail(margin=0.0),
        length=LengthGuardrail(margin=0.0),
        feedback=FeedbackGuardrail(margin=0.0),
    ),
)
"""No margin: an equal candidate lies on the very edge of what is allowed, where false rollbacks are most likely."""


@dataclass(frozen=True)
class Behavior:
    """How a version answers: shares of errors, refusals and good ratings; times and lengths as multiples."""

    errors: float = 0.02
    refusals: float = 0.05
    liked: float = 0.8
    slower: float = 1.0
    longer: float = 1.0


EQUAL = Behavior()


def play(
    policy: RolloutPolicy, seed: int, candidate: Behavior = EQUAL, *, most: int = 20_000, restart_every: int = 0
) -> tuple[Rollout, int]:
    """Send traffic until the rollout ends; return it and how many requests there were.

    ``restart_every``: after so many requests the rollout is stored as JSON and read again.
    """
    draws, rollout = random.Random(seed), Rollout(policy)
    for number in range(1, most + 1):
        arm: Arm = "candidate" if draws.random() < rollout.percent / 100 else "champion"
        behavior = candidate if arm == "candidate" else EQUAL
        seen = Observation(
            failed=draws.random() < behavior.errors,
            answer_ms=draws.lognormvariate(5.0, 0.5) * behavior.slower,
            refused=draws.random() < behavior.refusals,
            length=int(draws.lognormvariate(4.0, 0.7) * behavior.longer),
        )
        score = float(draws.random() < behavior.liked) if draws.random() < 0.2 else None
        rollout.observe(arm, seen)
        if score is not None:
            rollout.rate(arm, score)
        if rollout.status != "running":
            return rollout, number
        if restart_every and number % restart_every == 0:
            rollout = Rollout(policy, json.loads(json.dumps(rollout.dump())))
    return rollout, most
