"""What tuning fixed and broke, and what it still gets wrong, from per-item results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.core.errors import IntegrityError
from pipeline.report.record import Finished, RunRecord
from pipeline.report.types import ChangedItem, ItemChanges, SliceChanges, WorstItem
from schemas.evaluate import EvaluateArtifact

EXAMPLES = 5
"""Examples shown of each kind."""

CHAMPION = "champion"
"""The baseline that is the version which serves now."""

_COLUMNS = ("id", "prompt", "reference", "prediction", "slices")


def item_changes(record: RunRecord, baseline: str | None, metric: str) -> ItemChanges | None:
    """Compare the shipped model with ``baseline`` item by item; None where one of them was not evaluated.

    An item is fixed where its score rose and broken where it fell. Examples keep the split's order.

    Raises:
        IntegrityError: the two have different items, or their files cannot be read.
    """
    before = record.baselines.get(baseline) if baseline is not None else None
    after = record.evaluations.get(record.shipped)
    if before is None or after is None or baseline is None:
        return None
    pairs = _pairs(_items(before, metric), _items(after, metric), after.path / after.artifact.items)
    score = f"score.{metric}"
    fixed = [pair for pair in pairs if pair[1][score] > pair[0][score]]
    broken = [pair for pair in pairs if pair[1][score] < pair[0][score]]
    return ItemChanges(
        baseline=baseline,
        tuned=record.shipped,
        metric=metric,
        n=len(pairs),
        fixed=len(fixed),
        broken=len(broken),
        fixed_examples=tuple(_example(pair) for pair in fixed[:EXAMPLES]),
        broken_examples=tuple(_example(pair) for pair in broken[:EXAMPLES]),
        slices=_by_slice(pairs, score),
    )


def worst_items(record: RunRecord, metric: str) -> tuple[WorstItem, ...]:
    """Return the items that the shipped model scores lowest on, none that has the best score; ties keep their order.

    Raises:
        IntegrityError: its file cannot be read.
    """
    evaluation = record.evaluations.get(record.shipped)
    if evaluation is None:
        return ()
    score = f"score.{metric}"
    rows = sorted(_items(evaluation, metric), key=lambda row: row[score])
    return tuple(
        WorstItem(
            id=str(row["id"]),
            prompt=row["prompt"],
            reference=row["reference"],
            tuned=row["prediction"],
            score=row[score],
        )
        for row in rows[:EXAMPLES]
        if row[score] < 1.0
    )


def _by_slice(pairs: list[tuple[dict[str, Any], dict[str, Any]]], score: str) -> tuple[SliceChanges, ...]:
    counts: dict[str, list[int]] = {}
    for before, after in pairs:
        for name in after["slices"] or ():
            counted = counts.setdefault(name, [0, 0, 0])
            counted[0] += 1
            counted[1] += after[score] > before[score]
            counted[2] += after[score] < before[score]
    found = [
        SliceChanges(name=name, n=n, fixed=fixed, broken=broken)
        for name, (n, fixed, broken) in counts.items()
        if fixed or broken
    ]
    return tuple(sorted(found, key=lambda each: (-each.fixed - each.broken, each.name)))


def _items(evaluation: Finished[EvaluateArtifact], metric: str) -> list[dict[str, Any]]:
    from pyarrow import ArrowException, parquet

    path = evaluation.path / evaluation.artifact.items
    try:
        table = parquet.read_table(path, columns=[*_COLUMNS, f"score.{metric}"])
        missing = {*_COLUMNS, f"score.{metric}"} - set(table.column_names)
    except (OSError, ArrowException) as error:
        raise IntegrityError(
            "the per-item results cannot be read", where=str(path), fix="remove this artifact; the run makes it again"
        ) from error
    if missing:
        raise IntegrityError(
            f"the per-item results lack {', '.join(sorted(missing))}",
            where=str(path),
            fix="run with --fresh evaluate to make them again",
        )
    return [dict(row) for row in table.to_pylist()]


def _pairs(
    before: list[dict[str, Any]], after: list[dict[str, Any]], where: Path
) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    if [row["id"] for row in before] != [row["id"] for row in after]:
        raise IntegrityError(
            "baseline and tuned model were evaluated on different items",
            where=str(where),
            fix="run with --fresh evaluate to evaluate both again",
        )
    return list(zip(before, after, strict=True))


def _example(pair: tuple[dict[str, Any], dict[str, Any]]) -> ChangedItem:
    before, after = pair
    return ChangedItem(
        id=str(after["id"]),
        prompt=after["prompt"],
        reference=after["reference"],
        baseline=before["prediction"],
        tuned=after["prediction"],
    )
