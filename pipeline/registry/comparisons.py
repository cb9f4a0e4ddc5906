"""Paired comparisons of evaluations: the same items in the same order for both sides, or no comparison at all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipeline.core.errors import IntegrityError
from pipeline.registry.items import Items, check_same_items, check_same_scores
from schemas.register import Comparison, GateOptions

if TYPE_CHECKING:
    from pipeline.statistics import PairedResult

SEED = 0
"""Of the bootstrap and of sign-flip tests: the same evaluations always give the same decision."""

UNTESTED = "none: there is one independent item"


def compare_items(
    candidate: Items,
    reference: Items,
    metric: str,
    gate: GateOptions,
    *,
    task: str | None = None,
    part: str | None = None,
) -> Comparison:
    """Compare two evaluations of the same items: two-sided test and interval at level ``gate.alpha``.

    Binary metrics take McNemar's exact test, graded ones a sign-flip test, and a metric that is no mean of items
    (macro-F1) approximate randomization; near-duplicate items count as one cluster in all of them. Of one independent
    item nothing can be tested: p is 1, and the interval all that a difference can be.

    Raises:
        IntegrityError: the two hold different items, or a user's metric scored one answer in two ways.
    """
    from pipeline.statistics import compare

    check_same_items(candidate, reference)
    check_same_scores(candidate, reference, metric)
    if candidate.units < 2:
        return _untested(candidate, reference, metric, task, part)
    if candidate.is_mean and reference.is_mean:
        result = compare(
            candidate.scores,
            reference.scores,
            clusters=candidate.clusters,
            alpha=gate.alpha,
            seed=SEED,
            resamples=gate.resamples,
        )
    else:
        result = _compare_sets(candidate, reference, metric, gate.alpha, gate.resamples)
    return Comparison(
        candidate=candidate.name,
        reference=reference.name,
        metric=metric,
        n=result.n,
        candidate_value=result.candidate,
        reference_value=result.baseline,
        difference=result.difference,
        low=result.low,
        high=result.high,
        p_value=result.p_value,
        test=result.test,
        interval=result.interval_method,
        only_candidate=result.only_candidate,
        only_reference=result.only_baseline,
        clusters=result.clusters,
        task=task,
        part=part,
    )


def _untested(candidate: Items, reference: Items, metric: str, task: str | None, part: str | None) -> Comparison:
    span = _span(metric)
    return Comparison(
        candidate=candidate.name,
        reference=reference.name,
        metric=metric,
        n=len(candidate.ids),
        candidate_value=candidate.score,
        reference_value=reference.score,
        difference=candidate.score - reference.score,
        low=-span,
        high=span,
        p_value=1.0,
        test=UNTESTED,
        interval=UNTESTED,
        clusters=None if candidate.clusters is None else 1,
        task=task,
        part=part,
    )


def _span(metric: str) -> float:
    """Return how far two scores can lie apart."""
    from pipeline.metrics import metric_names
    from pipeline.metrics.registry import metric_factory

    return 1.0 - (getattr(metric_factory(metric), "least", 0.0) if metric in metric_names() else 0.0)


def lower_bound(candidate: Items, reference: Items, metric: str, margin: float, gate: GateOptions) -> float:
    """Return the one-sided lower bound, of confidence 1 - ``gate.alpha``, of candidate minus reference.

    A metric that is no mean of items takes the lower of its own bound and that of its item scores. One
    independent item bounds nothing: it is the largest loss that there can be.

    Raises:
        IntegrityError: the two hold different items.
        DataError: scores outside [0, 1].
    """
    from pipeline.statistics import non_inferiority

    check_same_items(candidate, reference)
    if candidate.units < 2:
        return -_span(metric)
    # The bound does not depend on the margin, which non_inferiority wants strictly between 0 and 1.
    inner = min(max(margin, 1e-9), 1.0 - 1e-9)
    bound = non_inferiority(
        candidate.scores, reference.scores, margin=inner, clusters=candidate.clusters, alpha=gate.alpha
    ).low
    if candidate.is_mean and reference.is_mean:
        return bound
    return min(bound, _compare_sets(candidate, reference, metric, 2 * gate.alpha, gate.resamples).low)


def best_baseline(comparisons: Sequence[Comparison]) -> Comparison | None:
    """Return the comparison with the baseline of the highest score; of equals, the one first by name."""
    return min(comparisons, key=lambda comparison: (-comparison.reference_value, comparison.reference), default=None)


def _compare_sets(candidate: Items, reference: Items, metric: str, alpha: float, resamples: int) -> PairedResult:
    """Compare by a metric that is no mean of items."""
    from pipeline.metrics import CorpusMetric, get_metric, metric_names
    from pipeline.statistics import compare_corpus

    chosen = get_metric(metric) if metric in metric_names() else None
    if not isinstance(chosen, CorpusMetric):
        raise IntegrityError(
            f"the score {metric} of {candidate.name} or {reference.name} is not the mean of its items",
            where="items.parquet",
            fix="run again with --fresh evaluate",
        )
    # Counts are over the candidate's items followed by the reference's.
    statistic = chosen.statistic(
        [*candidate.answers, *reference.answers], [*candidate.references, *reference.references]
    )
    return compare_corpus(
        statistic,
        len(candidate.ids),
        clusters=candidate.clusters,
        alpha=alpha,
        seed=SEED,
        resamples=resamples,
        span=_span(metric),
        worth=chosen.worth(reference.references),
    )
