"""Losses: is a retention task kept, is a variant as good as its parent? Each as one condition of the gate."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.core.numbers import percent, points
from pipeline.statistics import least_items
from schemas.register import Comparison, Condition


@dataclass(frozen=True)
class Loss:
    """What a model may lose against another on the same items: a retention task, or a variant and its parent.

    ``low`` is the one-sided lower bound of the difference; it and ``comparison`` are None where it was not measured.
    ``base_low``, of a retention task, is the lower end of the interval of the base's own score. ``merge_difference``
    is that of the logits, where a merged model gave its parent's very answers; None everywhere else.
    """

    name: str
    margin: float
    comparison: Comparison | None
    low: float | None
    base_low: float | None = None
    merge_difference: float | None = None


def retention_condition(loss: Loss, alpha: float) -> Condition:
    """Return the condition that the base's own task is kept; ``alpha`` is the level of ``loss.low``."""
    return _condition(loss, f"retention.{loss.name}", f"The base's own task {loss.name}", alpha)


def variant_condition(loss: Loss, alpha: float) -> Condition:
    """Return the condition that a variant is as good as its parent; ``alpha`` is the level of ``loss.low``."""
    return _condition(loss, f"variant.{loss.name}", f"Variant {loss.name}", alpha)


def _condition(loss: Loss, name: str, what: str, alpha: float) -> Condition:
    comparison, low = loss.comparison, loss.low
    if comparison is None or low is None:
        return Condition(
            name=name,
            estimate=None,
            threshold=-loss.margin,
            passed=False,
            text=f"The loss on {what[0].lower()}{what[1:]} was not measured: run again with --from evaluate.",
        )
    passed, verdict = _judge(loss, comparison, low, alpha)
    return Condition(
        name=name,
        estimate=comparison.difference,
        low=low,
        threshold=-loss.margin,
        n=comparison.n,
        passed=passed,
        text=f"{what}: {percent(comparison.reference_value)} with {comparison.reference}, "
        f"{percent(comparison.candidate_value)} with {comparison.candidate} by {comparison.metric} on the same "
        f"{comparison.n} items; the change is {points(comparison.difference)} and with one-sided confidence no "
        f"worse than {points(low)}, {verdict}.",
    )


def _judge(loss: Loss, comparison: Comparison, low: float, alpha: float) -> tuple[bool, str]:
    """Return whether the condition holds, and the words for it."""
    margin = f"{100 * loss.margin:.1f} points"
    if loss.base_low is not None and loss.base_low <= loss.margin:
        return False, (
            f"but the base's own score is too low to show a loss of {margin} (its interval begins at "
            f"{percent(loss.base_low)}): name another task or metric in evaluate.retention, or no task and the reason "
            "in evaluate.retention_waived"
        )
    if low >= -loss.margin:
        return True, f"within the margin of {margin}"
    if loss.merge_difference is not None:
        return True, (
            f"which is beyond the margin of {margin} only because of the number of items: every answer is its "
            f"parent's to the letter, and no logit differs by more than {loss.merge_difference:.1e} of the largest"
        )
    return False, f"beyond the margin of {margin}{_shortage(loss, comparison, alpha)}"


def _shortage(loss: Loss, comparison: Comparison, alpha: float) -> str:
    """Say how many items would do, where the change is within the margin and there are too few to show it."""
    if comparison.difference < -loss.margin or not 0.0 < loss.margin < 1.0:
        return ""
    units = comparison.n if comparison.clusters is None else comparison.clusters
    least = least_items(loss.margin, alpha=alpha)
    if units >= least:
        return "; the change itself is within it, more items would say more"
    items = _counted(comparison.n, "item")
    if comparison.clusters is None:
        return f": {items} cannot show this; at least {least} would"
    clusters = _counted(units, "cluster")
    return f": {items} in {clusters} of related ones cannot show this; at least {least} clusters would"


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
