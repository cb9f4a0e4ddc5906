"""What an answer says about each guardrail, and what all answers together show."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pipeline.service.gateway.blocks import Blocks, Usual
from pipeline.statistics import MeanExceeds, MeanSequence
from schemas.rollout import Arm, Guardrail, LatencyGuardrail, LengthGuardrail, Metric, Reading


@dataclass(frozen=True)
class Observation:
    """An answer as guardrails see it. Times are milliseconds since the request came; None is not known.

    ``failed``: by the engine's fault, so nothing else is known. ``length`` is in characters.
    """

    failed: bool = False
    first_byte_ms: float | None = None
    answer_ms: float | None = None
    refused: bool | None = None
    length: int | None = None


@dataclass
class Watch:
    """One guardrail under watch: the differences between both arms, and the tests that take them.

    Args:
        metric: what is watched.
        guardrail: the margin, and what counts.
        level: at which this guardrail decides; its share of the policy's.
    """

    metric: Metric
    guardrail: Guardrail
    level: float
    blocks: Blocks = field(default_factory=Blocks)
    sums: dict[str, float] = field(default_factory=lambda: {"champion": 0.0, "candidate": 0.0})
    counts: dict[str, int] = field(default_factory=lambda: {"champion": 0, "candidate": 0})
    total: float = 0.0
    exceeds: MeanExceeds = field(init=False)
    keeps: MeanExceeds = field(init=False)
    interval: MeanSequence = field(init=False)
    usual: Usual | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        margin = self.guardrail.margin
        self.exceeds = MeanExceeds(bound=margin, alpha=self.level)
        self.keeps = MeanExceeds(bound=-margin, alpha=self.level)
        self.interval = MeanSequence(alpha=self.level)
        match self.guardrail:
            case LatencyGuardrail(slow_ms=None, quantile=quantile):
                self.usual = Usual(0.0, 1.0 - quantile)
            case LengthGuardrail(outside=outside):
                self.usual = Usual(outside / 2, outside / 2)

    def observe(self, arm: Arm, seen: Observation) -> None:
        """Take an answer, if it says anything about this guardrail."""
        value = self._measure(seen)
        if value is None:
            return
        if self.usual is None:
            self.add(arm, value)
            return
        known, unusual = self.usual.is_known, self.usual.is_unusual(value)
        if arm == "champion":
            self.usual.take(value)
        if not known or self.add(arm, float(unusual)):
            self.usual.move()

    def add(self, arm: Arm, value: float) -> bool:
        """Take a value in [0, 1], of which more is worse; return whether it completed a block."""
        self.sums[arm] += value
        self.counts[arm] += 1
        difference = self.blocks.add(arm, value)
        if difference is None:
            return False
        self.total += difference
        self.exceeds.add(difference)
        self.keeps.add(-difference)
        self.interval.add((1.0 + difference) / 2)
        return True

    def _measure(self, seen: Observation) -> float | None:
        """Return the value that counts, or that is compared with what is usual."""
        if self.metric == "errors":
            return float(seen.failed)
        if seen.failed:
            return None
        if self.metric == "refusals":
            return None if seen.refused is None else float(seen.refused)
        if self.metric == "length":
            return None if seen.length is None else float(seen.length)
        if isinstance(self.guardrail, LatencyGuardrail):
            time = seen.first_byte_ms if self.guardrail.of == "first_byte" else seen.answer_ms
            slow = self.guardrail.slow_ms
            return time if time is None or slow is None else float(time > slow)
        return None  # feedback comes by itself

    def reading(self) -> Reading:
        """Return what it says now."""
        pairs = self.exceeds.n
        champion, candidate = (
            self.sums[arm] / self.counts[arm] if self.counts[arm] else None for arm in ("champion", "candidate")
        )
        return Reading(
            guardrail=self.metric,
            champion=champion,
            candidate=candidate,
            champion_answers=self.counts["champion"],
            candidate_answers=self.counts["candidate"],
            pairs=pairs,
            difference=self.total / pairs if pairs else None,
            low=2 * self.interval.low - 1,
            high=2 * self.interval.high - 1,
            margin=self.guardrail.margin,
            e_value=self.exceeds.e_value,
            p_value=self.exceeds.p_value,
            p_kept=self.keeps.p_value,
            level=self.level,
            exceeded=self.exceeds.shown,
            kept=self.keeps.shown,
        )

    def dump(self) -> dict[str, Any]:
        """Return all that it has seen, as JSON data."""
        return {
            "blocks": self.blocks.dump(),
            "sums": self.sums,
            "counts": self.counts,
            "total": self.total,
            "exceeds": _numbers(self.exceeds),
            "keeps": _numbers(self.keeps),
            "interval": _numbers(self.interval),
            "usual": None if self.usual is None else self.usual.dump(),
        }

    def load(self, stored: dict[str, Any]) -> None:
        """Become what `dump` returned."""
        self.blocks = Blocks(**stored["blocks"])
        self.sums, self.counts, self.total = stored["sums"], stored["counts"], stored["total"]
        for name in ("exceeds", "keeps", "interval"):
            vars(getattr(self, name)).update(stored[name])
        if self.usual is not None:
            self.usual.load(stored["usual"])


def _numbers(test: MeanExceeds | MeanSequence) -> dict[str, Any]:
    """Return what a test has come to; its level, bound and shares are the policy's."""
    declared = ("alpha", "bound", "_bets") if isinstance(test, MeanExceeds) else ("alpha",)
    return {name: value for name, value in vars(test).items() if name not in declared}
