"""Keeps rollouts going: what their policies decide becomes the table by which requests are split, at once."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from pipeline.service.gateway.exchange import Exchange
from pipeline.service.gateway.guardrails import Observation
from pipeline.service.gateway.refused import Refused
from pipeline.service.gateway.rollout import Rollout
from pipeline.service.gateway.table import Served, Split, Table
from schemas.rollout import Arm, EventKind, RolloutDecision, RolloutEvent, RolloutPolicy


@dataclass
class Running:
    """A rollout of a name, from its champion to a candidate."""

    id: str
    name: str
    champion: str
    candidate: str
    began: float
    state: Rollout


class Director:
    """Owns the table. Used by one event loop.

    Args:
        table: who answers before any rollout.
        tell: takes every event, in order.
    """

    def __init__(self, table: Table, tell: Callable[[RolloutEvent], None]) -> None:
        self.table = table
        self._tell = tell
        self._running: dict[str, Running] = {}
        self.touched: set[str] = set()

    def find(self, rollout: str) -> Running | None:
        """Return a rollout of this process, ended or not."""
        return self._running.get(rollout)

    def active(self, name: str) -> Running | None:
        """Return the rollout that splits a name's traffic now."""
        split = self.table.splits.get(name)
        return None if split is None else self._running[split.rollout]

    def start(self, name: str, candidate: str, policy: RolloutPolicy) -> Running:
        """Begin a rollout.

        Raises:
            Refused: the name or version is not served here, is champion already, or another rollout is under way.
        """
        champion = self.table.champions.get(name)
        if champion is None or candidate not in self.table.versions or candidate.partition("@")[0] != name:
            raise Refused(404, f"No version {candidate[:100]} of {name[:100]} is served here", code="not_found")
        if champion.version == candidate:
            raise Refused(409, f"{candidate} is the champion already", code="conflict")
        if name in self.table.splits:
            active = self.table.splits[name].rollout
            raise Refused(409, f"{name} is under the rollout {active}; cancel it first", code="conflict")
        running = Running(
            f"rollout-{uuid4().hex[:24]}", name, champion.version, candidate, time.time(), Rollout(policy)
        )
        self._running[running.id] = running
        self._say(running, "start", f"{candidate} takes over from {champion.version}", 0.0, running.state.percent)
        self._publish(running)
        return running

    def resume(self, running: Running) -> None:
        """Go on with a rollout that was stored."""
        self._running[running.id] = running
        self._publish(running)

    def drop(self, running: Running, reason: str) -> None:
        """End a stored rollout that cannot go on."""
        self._running[running.id] = running
        running.state.cancel()
        self._say(running, "cancel", reason, 0.0, 0.0)

    def retire(self, version: str) -> None:
        """Know a version no more; a champion and a candidate stay."""
        champions = {served.version for served in self.table.champions.values()}
        candidates = {split.candidate.version for split in self.table.splits.values()}
        if version not in champions | candidates:
            self.table = self.table.without(version)

    def observe(self, exchange: Exchange, seen: Observation) -> None:
        """Take an answer; one that no split chose, or that nobody saw, decides nothing."""
        running = self._running.get(exchange.rollout or "")
        if running is None or exchange.arm is None or exchange.shadowed:
            return
        self.touched.add(running.id)
        self._follow(running, running.state.observe(exchange.arm, seen))

    def rate(self, rollout: str, arm: Arm, score: float) -> None:
        """Take somebody's score in [0, 1] of an answer that a split chose."""
        running = self._running.get(rollout)
        if running is not None:
            self.touched.add(running.id)
            self._follow(running, running.state.rate(arm, score))

    def cancel(self, rollout: str, reason: str) -> Running:
        """Give all traffic back to the champion.

        Raises:
            Refused: there is no such rollout, or it has ended.
        """
        running = self._running.get(rollout)
        if running is None:
            raise Refused(404, f"No such rollout: {rollout[:100]}", code="not_found")
        if running.state.status != "running":
            raise Refused(409, f"The rollout has ended: {running.state.status}", code="conflict")
        before = running.state.percent
        running.state.cancel()
        self._say(running, "cancel", reason, before, 0.0)
        self._publish(running)
        return running

    def _follow(self, running: Running, decision: RolloutDecision | None) -> None:
        if decision is None:
            return
        numbers = decision.model_dump(mode="json", include={"champion_answers", "candidate_answers", "readings"})
        self._say(running, decision.kind, decision.reason, decision.before, decision.after, numbers)
        self._publish(running)

    def _say(
        self,
        running: Running,
        kind: EventKind,
        reason: str,
        before: float,
        after: float,
        numbers: dict[str, Any] | None = None,
    ) -> None:
        self.touched.add(running.id)
        self._tell(
            RolloutEvent(
                id=f"event-{uuid4().hex[:24]}",
                rollout=running.id,
                time=time.time(),
                kind=kind,
                reason=reason,
                champion=running.champion,
                candidate=running.candidate,
                before=before,
                after=after,
                numbers=numbers or {},
            )
        )

    def _publish(self, running: Running) -> None:
        candidate: Served = self.table.versions[running.candidate]
        state = running.state
        if state.status == "promoted":
            self.table = self.table.with_champion(running.name, candidate)
        elif state.status == "running":
            policy = state.policy
            split = Split(running.id, candidate, state.percent, policy.sticky, policy.fallback, policy.shadow)
            self.table = self.table.with_split(running.name, split)
        else:
            self.table = self.table.with_split(running.name, None)
