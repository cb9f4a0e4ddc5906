"""The per-item results of evaluations, and whether two of them can be compared at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import compress
from typing import Any

from pipeline.core.errors import IntegrityError
from schemas.artifacts import Stored
from schemas.evaluate import EvaluateArtifact

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


def check_same_items(candidate: Items, reference: Items) -> None:
    """Refuse two evaluations of different items.

    Raises:
        IntegrityError: they are.
    """
    if candidate.ids != reference.ids:
        pairs = zip(candidate.ids, reference.ids, strict=False)
        number = next((i for i, (ours, theirs) in enumerate(pairs, start=1) if ours != theirs), len(candidate.ids))
        raise IntegrityError(
            f"evaluations {candidate.name} and {reference.name} hold different items, first at item {number}",
            where="items.parquet",
            fix="run again with --fresh evaluate, so that both answer the same items",
        )


def check_same_scores(candidate: Items, reference: Items, metric: str) -> None:
    """Refuse a user's metric that gives the same answer to the same reference another score in another evaluation.

    An evaluation scores twice by itself; what changes with the day or with a file beside it changes between two.

    Raises:
        IntegrityError: it does.
    """
    from pipeline.metrics.user_metric import is_user_metric

    if not is_user_metric(metric):
        return
    told = dict(zip(zip(reference.answers, reference.references, strict=True), reference.scores, strict=True))
    for item, *pair, score in zip(
        candidate.ids, candidate.answers, candidate.references, candidate.scores, strict=True
    ):
        other = told.get((pair[0], pair[1]), score)
        if abs(other - score) > _SAME:
            raise IntegrityError(
                f"the metric scored the same answer {score:g} in evaluation {candidate.name} and {other:g} in "
                f"{reference.name}, so what it shows is no difference of models",
                where=f"{metric}, item {item}",
                fix="make the score depend on prediction and reference alone, and run again with --fresh evaluate",
            )
