"""A rollout decides by itself: after each answer it promotes, holds or rolls back, by its declared policy."""

from __future__ import annotations

from typing import Any, Final

from pipeline.service.gateway.guardrails import Observation, Watch
from schemas.rollout import Arm, Reading, RolloutDecision, RolloutPolicy, RolloutStatus

LEAST_PAIRS: Final = 12
"""Comparisons before a step is left: fewer, as when the champion is slower to answer, could not show even that a
candidate fails always, where five guardrails share an ``alpha`` of .05."""


class Rollout:
    """A candidate on its way to all traffic.

    The guardrails look at every answer since its beginning, across steps, each at an equal share of the policy's
    ``alpha``: as their tests may be looked at at any time, a candidate that keeps its margins is ever rolled back with
    probability ``alpha`` at most.

    Args:
        policy: what was declared.
        stored: what `dump` returned, to go on from there.
    """

    def __init__(self, policy: RolloutPolicy, stored: dict[str, Any] | None = None) -> None:
        self.policy = policy
        declared = policy.guardrails.declared()
        level = policy.alpha / len(declared)
        self._watches = {metric: Watch(metric, guardrail, level) for metric, guardrail in declared.items()}
        self._step = 0
        self._answers: dict[str, int] = {"champion": 0, "candidate": 0}
        self._held = False
        self.status: RolloutStatus = "running"
        if policy.steps == (100.0,):
            self.status = "promoted"
        if stored is not None:
            self._step, self._answers, self._held = stored["step"], stored["answers"], stored["held"]
            self.status = stored["status"]
            for metric, watch in self._watches.items():
                watch.load(stored["watches"][metric])

    @property
    def percent(self) -> float:
        """The candidate's percentage of traffic now."""
        match self.status:
            case "running" | "promoted":
                return self.policy.steps[self._step]
            case _:
                return 0.0

    def observe(self, arm: Arm, seen: Observation) -> RolloutDecision | None:
        """Take an answer to traffic that was split; return what follows, None where nothing changes."""
        if self.status != "running":
            return None
        self._answers[arm] += 1
        for watch in self._watches.values():
            watch.observe(arm, seen)
        return self._decide()

    def rate(self, arm: Arm, score: float) -> RolloutDecision | None:
        """Take somebody's score in [0, 1] of an answer."""
        watch = self._watches.get("feedback")
        if self.status != "running" or watch is None:
            return None
        watch.add(arm, 1.0 - score)
        return self._decide()

    def cancel(self) -> None:
        """Give all traffic back to the champion."""
        if self.status == "running":
            self.status = "cancelled"

    def readings(self) -> tuple[Reading, ...]:
        """Return what each guardrail says now."""
        return tuple(watch.reading() for watch in self._watches.values())

    def dump(self) -> dict[str, Any]:
        """Return all that it has seen, as JSON data."""
        return {
            "step": self._step,
            "answers": self._answers,
            "held": self._held,
            "status": self.status,
            "watches": {metric: watch.dump() for metric, watch in self._watches.items()},
        }

    def _decide(self) -> RolloutDecision | None:
        exceeded = [watch for watch in self._watches.values() if watch.exceeds.shown]
        if exceeded:
            return self._roll_back(exceeded)
        least = self.policy.minimum_requests
        if self._answers["candidate"] < least:
            return None
        if max(watch.exceeds.n for watch in self._watches.values()) < min(least, LEAST_PAIRS):
            return None
        open_ = [watch.metric for watch in self._watches.values() if watch.guardrail.proof and not watch.keeps.shown]
        if not open_:
            return self._promote()
        if self._held:
            return None
        self._held = True
        return self._decision("hold", self.percent, f"not yet shown to keep its margin: {', '.join(open_)}")

    def _roll_back(self, exceeded: list[Watch]) -> RolloutDecision:
        readings = [watch.reading() for watch in exceeded]
        said = "; ".join(
            f"{found.guardrail}: {found.candidate or 0.0:.4g} against {found.champion or 0.0:.4g}, "
            f"more than {found.margin:g} worse (p = {found.p_value:.2g})"
            for found in readings
        )
        decision = self._decision("rollback", 0.0, said)
        self.status = "rolled_back"
        return decision

    def _promote(self) -> RolloutDecision:
        after = self.policy.steps[self._step + 1]
        reason = f"{self._answers['candidate']} answers, and no guardrail is shown to be worse than its margin"
        decision = self._decision("promote", after, reason)
        self._step += 1
        self._answers, self._held = {"champion": 0, "candidate": 0}, False
        if after == self.policy.steps[-1]:
            self.status = "promoted"
        return decision

    def _decision(self, kind: Any, after: float, reason: str) -> RolloutDecision:
        return RolloutDecision(
            kind=kind,
            before=self.percent,
            after=after,
            reason=reason,
            champion_answers=self._answers["champion"],
            candidate_answers=self._answers["candidate"],
            readings=self.readings(),
        )
