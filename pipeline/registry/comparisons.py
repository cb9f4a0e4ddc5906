"""Paired comparisons of evaluations: the same items in the same order for both sides, or no comparison at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import compress
from typing import TYPE_CHECKING, Any

from pipeline.core.errors import IntegrityError
from schemas.artifacts import Stored
from schemas.evaluate import EvaluateArtifact
from schemas.register import Comparison, GateOptions

if TYPE_CHECKING:
    from pipeline.statistics import PairedResult

SEED = 0
"""Of the bootstrap and of sign-flip tests: the same evaluations always give the same decision."""

UNTESTED = "none: there is one independent item"

_SAME = 1e-9
"""Two ways to sum the same item scores differ by less."""


@dataclass(frozen=True)
class Items:
    """The per-item results of one evaluation by one metric, n items in the split's order.

    ``clusters`` is None where every item is its own. ``predictions`` are what was said, ``answers`` what of it was
    scored. ``score`` is the reported value over all items.
    """

    name: str
    ids: tuple[str, ...]
    clusters: tuple[int, ...] | None
    scores: tuple[float, ...]
    predictions: tuple[str, ...]
    answers: tuple[str, ...]
    references: tuple[str, ...]
    score: float

    @property
    def units(self) -> int:
        """How many independent items there are: near-duplicates count as one."""
        return len(self.ids) if self.clusters is None else len(set(self.clusters))

    @property
    def is_mean(self) -> bool:
        """Whether the reported value is the mean of the items' scores."""
        return abs(sum(self.scores) / len(self.scores) - self.score) <= _SAME


def read_items(name: str, evaluation: Stored[EvaluateArtifact], metric: str, part: str | None = None) -> Items:
    """Read ``items.parquet`` of an evaluation; ``part`` takes the items of one of its slices.

    Raises:
        IntegrityError: the metric was not scored, or the file does not hold what the artifact states.
    """
    import pyarrow.parquet as parquet

    path = evaluation.file(evaluation.artifact.items)
    column = f"score.{metric}"
    wanted = ["id", "cluster", "prediction", "answer", "reference", column, *([] if part is None else ["slices"])]
    schema = parquet.read_schema(path)
    missing = [name for name in wanted if name not in schema.names]
    if missing or metric not in evaluation.artifact.scores:
        raise IntegrityError(
            f"evaluation {name} has no {', '.join(missing) or metric}",
            where=str(path),
            fix=f"name {metric} in evaluate.metrics and run again with --fresh evaluate",
        )
    table = parquet.read_table(path, columns=wanted).to_pydict()
    if not table["id"] or len(table["id"]) != evaluation.artifact.n:
        raise IntegrityError(
            f"evaluation {name} states {evaluation.artifact.n} items and holds {len(table['id'])}",
            where=str(path),
            fix="run again with --fresh evaluate",
        )
    score = evaluation.artifact.scores[metric].value
    if part is not None:
        table, score = _of_slice(table, part), evaluation.artifact.slices[part][metric].value
    clusters = tuple(int(value) for value in table["cluster"])
    return Items(
        name=name,
        ids=tuple(table["id"]),
        clusters=clusters if len(set(clusters)) < len(clusters) else None,
        scores=tuple(float(value) for value in table[column]),
        predictions=tuple(table["prediction"]),
        answers=tuple(table["answer"]),
        references=tuple(table["reference"]),
        score=score,
    )


def read_near_train(name: str, evaluation: Stored[EvaluateArtifact]) -> tuple[bool, ...]:
    """Read which evaluated items repeat or nearly repeat a training row, n items in the split's order.

    Raises:
        IntegrityError: ``items.parquet`` does not tell.
    """
    import pyarrow.parquet as parquet

    path = evaluation.file(evaluation.artifact.items)
    if "near_train" not in parquet.read_schema(path).names:
        raise IntegrityError(
            f"evaluation {name} does not tell which items nearly repeat a training row",
            where=str(path),
            fix="run again with --fresh evaluate",
        )
    return tuple(map(bool, parquet.read_table(path, columns=["near_train"])["near_train"].to_pylist()))


def by_items(items: Items) -> Items:
    """Return the same results with the mean of the items' scores in place of the reported value."""
    return replace(items, score=sum(items.scores) / len(items.scores))


def _of_slice(table: dict[str, list[Any]], part: str) -> dict[str, list[Any]]:
    kept = [part in names for names in table["slices"]]
    return {name: list(compress(values, kept)) for name, values in table.items()}


def check_same_split(evaluations: Mapping[str, Stored[EvaluateArtifact]]) -> None:
    """Refuse evaluations that were not made on the same items: every later number would compare different things.

    Raises:
        IntegrityError: two differ in split, digest of the split, or number of items.
    """
    first_name = next(iter(evaluations), None)
    if first_name is None:
        return
    first = evaluations[first_name].artifact
    for name, evaluation in evaluations.items():
        other = evaluation.artifact
        for what, ours, theirs in (
            ("split", first.split, other.split),
            ("split digest", first.data_digest, other.data_digest),
            ("number of items", first.n, other.n),
        ):
            if ours != theirs:
                raise IntegrityError(
                    f"evaluations {first_name} and {name} differ in {what}: {ours} and {theirs}",
                    where=str(evaluation.ref),
                    fix="run again with --fresh evaluate, so that both answer the same items",
                )


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
        IntegrityError: the two hold different items.
    """
    from pipeline.statistics import compare

    _check_same_items(candidate, reference)
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

    _check_same_items(candidate, reference)
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


def _check_same_items(candidate: Items, reference: Items) -> None:
    if candidate.ids != reference.ids:
        pairs = zip(candidate.ids, reference.ids, strict=False)
        number = next((i for i, (ours, theirs) in enumerate(pairs, start=1) if ours != theirs), len(candidate.ids))
        raise IntegrityError(
            f"evaluations {candidate.name} and {reference.name} hold different items, first at item {number}",
            where="items.parquet",
            fix="run again with --fresh evaluate, so that both answer the same items",
        )


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
