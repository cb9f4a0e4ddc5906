"""The gate's conditions in plain words: one statement each, also where the form that is served must show the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from pipeline.core.numbers import percent, points
from pipeline.report.types import Outcome, Statement
from pipeline.report.wording import difference_range, listed
from schemas.register import Comparison, Condition, RegisterArtifact

_NAMED = 8
"""Protected metrics and slices that one statement names."""

WORDS: dict[Outcome, str] = {
    "met": "Met",
    "not met": "Not met",
    "missed": "Missed, but does not decide",
    "waived": "Waived",
}


def outcome(condition: Condition) -> Outcome:
    """Return how a condition came out; retention that a person waived decides nothing and is not met either."""
    measured = condition.name.startswith("retention.")
    if (condition.name == "retention" and condition.passed) or (measured and not condition.required):
        return "waived"
    if condition.passed:
        return "met"
    return "not met" if condition.required else "missed"


def outcome_text(condition: Condition) -> str:
    """Return how a condition came out, for a list of all of them."""
    found = outcome(condition)
    if found == "waived":
        return "waived"
    return ("met" if condition.passed else "not met") + ("" if condition.required else " (does not decide)")


def statements(decided: RegisterArtifact, waived: str | None) -> tuple[Statement, ...]:
    """Return the conditions of a decision, what failed first; ``waived`` is the reason why forgetting may go unseen."""
    made = [statement for group in _groups(decided) for statement in _Writer(decided, waived).write(*group)]
    order: tuple[Outcome, ...] = ("not met", "missed", "waived", "met")
    return tuple(sorted(made, key=lambda statement: order.index(statement.outcome)))


def _groups(decided: RegisterArtifact) -> Iterator[tuple[str, list[Condition]]]:
    """Yield conditions that one statement can say: the shipped model's with the served form's, and what held alike."""
    conditions = decided.decision.all_conditions
    names = {condition.name for condition in conditions}
    groups: dict[str, list[Condition]] = {}
    for condition in conditions:
        name = condition.name.removesuffix(f".{decided.served_variant}")
        name = name if name in names else condition.name
        kind = name.partition(".")[0]
        alike = kind in ("variant", "parity", "protected", "bias", "budget") and condition.passed
        groups.setdefault(kind if alike else name, []).append(condition)
    yield from groups.items()


@dataclass(frozen=True)
class _Writer:
    decided: RegisterArtifact
    waived: str | None

    def write(self, name: str, group: Sequence[Condition]) -> Iterator[Statement]:
        """Yield the one statement of a group."""
        kind, _, rest = name.partition(".")
        worst = next((item for item in group if not item.passed), group[0])
        if kind == "gain":
            text = _gain(worst, group)
        elif kind == "target":
            text = _target(rest, worst, group)
        elif kind == "retention":
            text = self._retention(rest, worst)
        elif kind == "variant":
            text = self._variants(group)
        elif kind == "protected" and worst.passed:
            text = _unharmed(group)
        elif kind == "parity" and worst.passed:
            text = "Served as it was trained and evaluated: " + " ".join(item.text for item in group)
        elif kind == "bias" and worst.passed:
            text = f"Bias within its bounds: {listed([item.name.removeprefix('bias.') for item in group])}"
        elif kind == "budget" and worst.passed:
            text = "Within its budget: " + " ".join(item.text for item in group)
        else:
            text = worst.text
        yield Statement(name=name, outcome=outcome(worst), text=text.rstrip("."))

    def _retention(self, task: str, condition: Condition) -> str:
        compared = next((item for item in self.decided.retention_comparisons if item.task == task), None)
        if compared is None or condition.low is None or condition.threshold is None:
            return self.waived if condition.passed and self.waived is not None else condition.text
        scores = f"{task} {percent(compared.reference_value)} before, {percent(compared.candidate_value)} after"
        if outcome(condition) == "waived":
            return f"{self.waived} ({scores}; {_change(compared)})"
        scores = f"{scores} ({_change(compared)})"
        if condition.passed:
            return f"What the base could do before is kept: {scores}"
        kept = "lost" if compared.difference < condition.threshold else "not shown to be kept"
        return f"What the base could do before is {kept}: {scores}; {_possible_loss(condition)}"

    def _variants(self, group: Sequence[Condition]) -> str:
        names = [condition.name.removeprefix("variant.") for condition in group]
        if all(condition.passed for condition in group):
            return f"As good as the model that they come from: {listed(names)}"
        compared = next((item for item in self.decided.variant_comparisons if item.candidate == names[0]), None)
        return self._worse_variant(names[0], group[0], compared)

    def _worse_variant(self, name: str, condition: Condition, compared: Comparison | None) -> str:
        if compared is None or condition.low is None or condition.threshold is None:
            return condition.text
        scores = (
            f"{percent(compared.candidate_value)} against {percent(compared.reference_value)} ({_change(compared)})"
        )
        shown = "worse than" if compared.difference < condition.threshold else "not shown to be as good as"
        return f"{name} is {shown} the model that it comes from: {scores}; {_possible_loss(condition)}"


def _possible_loss(condition: Condition) -> str:
    """Return how much may have been lost, as far as the items can tell, and how much may be."""
    assert condition.low is not None and condition.threshold is not None
    possible, allowed = (points(-loss).lstrip("+") for loss in (condition.low, condition.threshold))
    return f"the loss may be {possible}, at most {allowed} are allowed"


def _numbers(group: Sequence[Condition], written: Callable[[float], str]) -> str:
    """Return what was measured of the model, and of the form that is served where that is another number."""
    numbers = [_number(condition, written) for condition in group if condition.estimate is not None]
    return numbers[0] if len(set(numbers)) == 1 else f"{numbers[0]}, and as served {numbers[1]}"


def _number(condition: Condition, written: Callable[[float], str]) -> str:
    """Return an estimate with its interval and n: ``79.8% (interval 78.3% to 81.2%, n = 3,080)``."""
    assert condition.estimate is not None
    known = []
    if condition.low is not None and condition.high is not None:
        low, high = (written(end).removesuffix(" points") for end in (condition.low, condition.high))
        known.append(f"interval {low} to {high}")
    if condition.n is not None:
        known.append(f"n = {condition.n:,}")
    return written(condition.estimate) + (f" ({', '.join(known)})" if known else "")


def _change(compared: Comparison) -> str:
    """Return a difference with its interval and n: ``-5.0 points, interval -30.0 to +15.0, n = 20``."""
    return f"{points(compared.difference)}, interval {difference_range(compared)}, n = {compared.n:,}"


def _gain(worst: Condition, group: Sequence[Condition]) -> str:
    if worst.estimate is None or worst.low is None or worst.high is None:
        return worst.text
    measured = _numbers(group, points)
    if worst.passed:
        return f"Better than the best baseline: {measured}"
    if worst.high < 0:
        return f"Worse than the best baseline: {measured}"
    if worst.low > 0 and worst.threshold:
        wanted = points(worst.threshold)
        return f"Better than the best baseline, by less than the {wanted} that were wanted: {measured}"
    return f"Not shown to be better than the best baseline: {measured}"


def _unharmed(group: Sequence[Condition]) -> str:
    names = [condition.name.split(".", 2)[1:] for condition in group]
    said = [f"slice {name}" if kind == "slice" else name for kind, name in names]
    more = len(said) - _NAMED
    shown = [*said[:_NAMED], f"{more} more"] if more > 1 else said
    return f"Not significantly worse than the best baseline in what is protected: {listed(shown)}"


def _target(metric: str, worst: Condition, group: Sequence[Condition]) -> str:
    if worst.estimate is None or worst.threshold is None:
        return worst.text
    reached = "reached" if worst.passed else "missed"
    wanted = f"at least {percent(worst.threshold)} was wanted"
    return f"Target {reached}: {metric} is {_numbers(group, percent)}, {wanted}"
