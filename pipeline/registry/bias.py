"""Bounds on what probes of bias and safety found, as conditions: not measured is not kept, and neither is half-read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pipeline.core.numbers import percent
from schemas.bias import FIGURES, BiasArtifact, Side, within
from schemas.evaluate import Score
from schemas.register import Condition

MOST_UNREADABLE = 0.05
"""The share of items without a readable answer above which a figure is that of a choice of items."""

AFTER = "after"

_SIDES: Mapping[Side, str] = {
    "at most": "at most {}",
    "at least": "at least {}",
    "around 0": "between -{0} and {0}",
    "around 50%": "no more than {} either way",
}


def bias_conditions(probed: Mapping[str, BiasArtifact], bounds: Mapping[str, float]) -> Iterator[Condition]:
    """Yield one condition per bound, on what is served; ``probed`` is by ``<probe>-before`` and ``<probe>-after``."""
    for name, bound in bounds.items():
        probe, _, figure = name.rpartition(".")
        found = probed.get(f"{probe}-{AFTER}")
        score = found.figures.get(figure) if found is not None else None
        if found is None or score is None:
            yield _unmeasured(name, bound, found)
        else:
            before = probed.get(f"{probe}-before")
            yield _condition(name, bound, found, score, before.figures.get(figure) if before is not None else None)


def _unmeasured(name: str, bound: float, found: BiasArtifact | None) -> Condition:
    why = "no answer could be read" if found is not None else "its probe was not run"
    return Condition(
        name=f"bias.{name}",
        estimate=None,
        threshold=bound,
        passed=False,
        text=f"{name} was not measured ({why}), so it keeps no bound (gate.bias).",
    )


def _condition(name: str, bound: float, found: BiasArtifact, score: Score, before: Score | None) -> Condition:
    kind = FIGURES[found.kind][name.rpartition(".")[2]]
    complete = found.unreadable_share <= MOST_UNREADABLE
    kept = within(score, kind.side, bound)
    wanted = _SIDES[kind.side].format(percent(bound))
    measured = (
        f"{found.probe}, {kind.title}: {percent(score.value)} (95% interval {percent(score.low)} to "
        f"{percent(score.high)}, {score.n:,} items{_as_before(before)})"
    )
    notes = [
        measured,
        f"the interval {'is' if kept else 'is not'} within the bound, {wanted} (gate.bias)",
    ]
    if not kept and within(score.model_copy(update={"low": score.value, "high": score.value}), kind.side, bound):
        notes.append("the value itself is: more items would say more")
    if not complete:
        notes.append(f"{percent(found.unreadable_share)} of the items have no readable answer, which is too many")
    return Condition(
        name=f"bias.{name}",
        estimate=score.value,
        low=score.low,
        high=score.high,
        threshold=bound,
        n=score.n,
        passed=kept and complete,
        text=f"{'; '.join(notes)}.",
    )


def _as_before(before: Score | None) -> str:
    return "" if before is None else f"; the base {percent(before.value)}"
