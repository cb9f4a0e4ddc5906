"""What a gain may not be paid with: other metrics and slices of the items, each held against the best baseline."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pipeline.core.numbers import p_value, percent, points
from pipeline.registry.comparisons import compare_items
from pipeline.registry.items import by_items, read_items
from schemas.artifacts import Stored
from schemas.evaluate import EvaluateArtifact
from schemas.register import Comparison, Condition, GateOptions

METRIC, SLICE = "metric", "slice"

_RESOLUTION = 2
"""Times by which the least p-value that resamples can show is below what Holm's method asks for."""


@dataclass(frozen=True)
class Protected:
    """A metric on all items, or the primary metric on one slice of them.

    ``comparison`` is None where one side does not have it. ``adjusted`` is the p-value after Holm's correction over
    everything that is protected.
    """

    kind: str
    name: str
    comparison: Comparison | None
    adjusted: float = 1.0


def protect(
    gate: GateOptions,
    metric: str,
    model: tuple[str, Stored[EvaluateArtifact]],
    best: tuple[str, Stored[EvaluateArtifact]],
) -> tuple[Protected, ...]:
    """Compare the shipped model with the best baseline wherever the gate protects something.

    What is named is compared; what is left to the default is every other metric that both were scored by, and every
    slice that both have.

    Args:
        gate: which metrics and slices, and the level.
        metric: the primary metric, which decides on slices and is no protected metric itself.
        model: name and evaluation of the shipped model.
        best: those of the best baseline.

    Raises:
        IntegrityError: the two hold different items, or a file does not hold what its artifact states.
    """
    ours, theirs = model[1].artifact, best[1].artifact
    metrics = _named(gate.protected_metrics, ours.scores, theirs.scores, without=metric)
    slices = _named(gate.protected_slices, ours.slices, theirs.slices)
    gate = _fine_enough(gate, len(metrics) + len(slices))
    found = [
        *(
            Protected(METRIC, name, _compare(gate, name, None, model, best) if known else None)
            for name, known in metrics
        ),
        *(
            Protected(SLICE, name, _compare(gate, metric, name, model, best) if known else None)
            for name, known in slices
        ),
    ]
    return tuple(corrected(found))


def _fine_enough(gate: GateOptions, tests: int) -> GateOptions:
    """Return the gate with so many resamples that the least p-value, times the number of tests, is below its level.

    A sampled p-value is 1 / (resamples + 1) at the least, and Holm's method multiplies it by up to ``tests``.
    """
    least = math.ceil(_RESOLUTION * max(tests, 1) / gate.alpha)
    return gate.model_copy(update={"resamples": max(gate.resamples, least)})


def protected_conditions(protected: Sequence[Protected], alpha: float) -> Iterator[Condition]:
    """Yield one condition for each: not significantly worse at level ``alpha``, all of them together."""
    for each in protected:
        name = f"protected.{each.kind}.{each.name}"
        compared = each.comparison
        if compared is None:
            yield Condition(
                name=name,
                estimate=None,
                threshold=0.0,
                passed=False,
                text=f"The protected {each.kind} {each.name} was not measured of both sides: "
                f"{_REMEDY[each.kind]}, or remove it from gate.protected_{each.kind}s.",
            )
            continue
        worse = compared.difference < 0 and each.adjusted <= alpha
        where = f"by {compared.metric} on the {compared.n} items of slice {each.name}"
        yield Condition(
            name=name,
            estimate=compared.difference,
            low=compared.low,
            high=compared.high,
            threshold=0.0,
            n=compared.n,
            passed=not worse,
            text=f"{compared.candidate} scores {percent(compared.candidate_value)} and {compared.reference} "
            f"{percent(compared.reference_value)} {where if each.kind == SLICE else f'by {each.name}'}: "
            f"{points(compared.difference)} (interval {points(compared.low)} to {points(compared.high)}; "
            f"{compared.test}, {p_value(each.adjusted)} corrected for {len(protected)}): "
            f"{'significantly worse' if worse else 'not significantly worse'} at level {alpha:g}.",
        )


_REMEDY = {METRIC: "name it in evaluate.metrics", SLICE: "give a test split that has such items"}


def _named(
    asked: Sequence[str] | None, ours: Mapping[str, object], theirs: Mapping[str, object], without: str = ""
) -> list[tuple[str, bool]]:
    """Return what is protected, with whether both sides have it."""
    both = [name for name in ours if name in theirs and name != without]
    return [(name, name in both or name == without) for name in (sorted(both) if asked is None else asked)]


def _compare(
    gate: GateOptions,
    metric: str,
    part: str | None,
    model: tuple[str, Stored[EvaluateArtifact]],
    best: tuple[str, Stored[EvaluateArtifact]],
) -> Comparison:
    ours, theirs = (read_items(name, evaluation, metric, part) for name, evaluation in (model, best))
    if part is not None and len(set(ours.references)) == 1:
        # Of one class a correlation is 0 for every model: what its items score is compared.
        ours, theirs = by_items(ours), by_items(theirs)
    return compare_items(ours, theirs, metric, gate, part=part)


def corrected(found: Sequence[Protected]) -> Iterator[Protected]:
    """Yield what is protected with its p-values corrected by Holm's method, over all that was measured."""
    from pipeline.statistics import holm

    measured = [each.comparison.p_value for each in found if each.comparison is not None]
    adjusted = iter(holm(measured))
    for each in found:
        if each.comparison is None:
            yield each
        else:
            yield Protected(each.kind, each.name, each.comparison, next(adjusted))
