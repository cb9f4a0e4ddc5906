"""Scores: each answer by each metric, and each metric over a set of items with its 95% interval.

Items of one near-duplicate cluster are not independent, so clusters are the unit wherever one has more than one
member. 0/1 metrics take Wilson's interval (with clusters at the effective number of items), graded ones a bootstrap
of items or clusters. Where nearly all graded scores are alike, and for metrics that are no mean of items (macro-F1),
it is the wider of a bootstrap and Wilson's.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass

from pipeline.core.errors import ConfigError, DataError
from pipeline.core.references import open_reference
from pipeline.evaluate import backends
from pipeline.evaluate.items import Item
from pipeline.evaluate.slices import take
from pipeline.metrics import BertScore, CorpusMetric, Metric
from pipeline.metrics.build import build_metric
from pipeline.metrics.class_counts import ClassMetric
from pipeline.metrics.labels import normalize_label
from pipeline.metrics.user_metric import UserMetric
from pipeline.statistics import Interval, bootstrap_interval, score_interval
from schemas.evaluate import MetricSpec, Score

NO_INTERVAL = "none: all items are one cluster"


@dataclass(frozen=True)
class Scored:
    """One metric over all items: ``items`` has one score per item."""

    items: list[float]
    overall: Score
    slices: dict[str, Score]


def load_metrics(specs: Sequence[MetricSpec], labels: Sequence[str] | None) -> dict[str, Metric]:
    """Return the metrics of a config by name.

    Raises:
        ConfigError: two have the same name, or one cannot be built.
        EnvironmentMissing: programs are to be run, and this machine cannot isolate them.
        SourceError: a user's file cannot be read.
        ModelError: the model of a metric cannot be loaded.
        IntegrityError: a user's file, or a metric's model, changed since the run began.
    """
    metrics: dict[str, Metric] = {}
    for spec in specs:
        if spec.name in metrics:
            raise ConfigError(f"metric {spec.name} is there twice", where="evaluate.metrics", fix="keep one of the two")
        metric = build_metric(spec, labels)
        if isinstance(metric, BertScore) and spec.model is not None:
            metric.connect(backends.load_token_embedder, open_reference(spec.model))
        metrics[spec.name] = metric
    return metrics


def score_all(
    metric: Metric,
    items: Sequence[Item],
    predictions: Sequence[str],
    seed: int,
    parts: Mapping[str, Sequence[int]],
    advance: Callable[[int], object] = int,
) -> Scored:
    """Score every item, all items, and each slice; ``parts`` are the slices as `slice_places` returns them.

    ``advance`` is told of scored items, and raises where the call must stop.

    Raises:
        DataError: a reference is not what the metric takes (the row is named).
        ConfigError: a user's metric failed, or scored an answer in two ways.
    """
    scores = score_items(metric, items, predictions, advance)
    return Scored(
        items=scores,
        overall=score_set(metric, items, predictions, scores, seed),
        slices={
            name: score_part(metric, take(items, places), take(predictions, places), take(scores, places), seed)
            for name, places in parts.items()
        },
    )


def score_items(
    metric: Metric, items: Sequence[Item], predictions: Sequence[str], advance: Callable[[int], object] = int
) -> list[float]:
    """Return the score of each item; by a user's metric they are computed twice.

    Raises:
        DataError: see `score_all`.
        ConfigError: a user's metric failed, or scored an answer in two ways.
    """
    if isinstance(metric, BertScore):
        return metric.items(predictions, [item.reference for item in items], advance)
    scores = []
    for item, prediction in zip(items, predictions, strict=True):
        try:
            scores.append(float(metric.item(prediction, item.reference)))
        except DataError as error:
            raise DataError(f"{metric.name}: {error.message}", where=f"source row {item.row}", fix=error.fix) from error
        advance(1)
    if isinstance(metric, UserMetric):
        metric.verify(predictions, [item.reference for item in items], scores, [item.row for item in items], advance)
    return scores


def score_set(
    metric: Metric, items: Sequence[Item], predictions: Sequence[str], scores: Sequence[float], seed: int
) -> Score:
    """Return the metric's value over a set of items with its 95% interval."""
    clusters = item_clusters(items)
    references = [item.reference for item in items]
    if clusters is not None and len(set(clusters)) == 1:
        value = metric.corpus(predictions, references)
        return Score(value=value, low=metric.least, high=1.0, n=len(items), method=NO_INTERVAL)
    if isinstance(metric, CorpusMetric):
        statistic = metric.statistic(predictions, references)
        bounds, worth = (metric.least, 1.0), metric.worth(references)
        return _as_score(
            bootstrap_interval(statistic, len(items), clusters=clusters, seed=seed, bounds=bounds, worth=worth)
        )
    return _as_score(score_interval(scores, clusters=clusters, seed=seed))


def score_part(
    metric: Metric, items: Sequence[Item], predictions: Sequence[str], scores: Sequence[float], seed: int
) -> Score:
    """Return `score_set` of a slice; where all its items have one class, the share that is right.

    How classes are told apart says nothing of one class alone (a correlation is 0 for every model), and items that are
    counted one by one compare as the gate compares them.
    """
    if not isinstance(metric, ClassMetric) or len({normalize_label(item.reference) for item in items}) > 1:
        return score_set(metric, items, predictions, scores, seed)
    clusters = item_clusters(items)
    if clusters is not None and len(set(clusters)) == 1:
        return Score(value=sum(scores) / len(scores), low=0.0, high=1.0, n=len(items), method=NO_INTERVAL)
    return _as_score(score_interval(scores, clusters=clusters, seed=seed))


def item_clusters(items: Sequence[Item]) -> list[Hashable] | None:
    """Return each item's cluster, or None where every item is its own."""
    clusters: list[Hashable] = [item.cluster for item in items]
    return clusters if len(set(clusters)) < len(clusters) else None


def _as_score(interval: Interval) -> Score:
    return Score(value=interval.estimate, low=interval.low, high=interval.high, n=interval.n, method=interval.method)
