"""Probes of bias and safety, after training against before: each figure on the items that say something of both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.core.errors import IntegrityError
from pipeline.registry.comparisons import compare_items
from pipeline.registry.items import Items
from schemas.artifacts import Stored
from schemas.bias import FIGURES, BiasArtifact
from schemas.register import Comparison, GateOptions

BEFORE, AFTER = "before", "after"


def probe_comparisons(
    probed: Mapping[str, Stored[BiasArtifact]], served: str, gate: GateOptions
) -> Iterator[Comparison]:
    """Yield a comparison for each figure that both ``<probe>-before`` and ``<probe>-after`` have an item in common for.

    A figure around 0 has items in [-1, 1], which are compared as scores in [0, 1].

    Raises:
        IntegrityError: the two asked different things, or a table does not hold what its artifact states.
    """
    for name, after in sorted(probed.items()):
        before = probed.get(f"{name.removesuffix(f'-{AFTER}')}-{BEFORE}") if name.endswith(f"-{AFTER}") else None
        if before is None:
            continue
        if before.artifact.data_digest != after.artifact.data_digest:
            raise IntegrityError(
                f"probe {after.artifact.probe} asked base and model different things",
                where="evaluate.bias",
                fix="run again with --fresh bias",
            )
        ours, theirs = _table(after), _table(before)
        for figure, kind in FIGURES[after.artifact.kind].items():
            found = _compared(ours, theirs, figure, served, gate, signed=kind.side == "around 0")
            if found is not None:
                yield found.model_copy(update={"task": after.artifact.probe})


def _compared(
    ours: Mapping[str, list[Any]],
    theirs: Mapping[str, list[Any]],
    figure: str,
    served: str,
    gate: GateOptions,
    *,
    signed: bool,
) -> Comparison | None:
    column = f"figure.{figure}"
    both = zip(ours[column], theirs[column], strict=True)
    places = [place for place, said in enumerate(both) if None not in said]
    if not places:
        return None
    candidate = _items(served, ours, column, places, signed=signed)
    found = compare_items(candidate, _items("base", theirs, column, places, signed=signed), figure, gate)
    return _unscaled(found) if signed else found


def _items(name: str, table: Mapping[str, list[Any]], column: str, places: list[int], *, signed: bool) -> Items:
    numbers: dict[Any, int] = {}
    clusters = tuple(numbers.setdefault(table["cluster"][place], len(numbers)) for place in places)
    values = [table[column][place] for place in places]
    scores = tuple((1 + value) / 2 if signed else value for value in values)
    return Items(
        name=name,
        ids=tuple(table["id"][place] for place in places),
        clusters=clusters if len(numbers) < len(places) else None,
        scores=scores,
        predictions=(),
        answers=(),
        references=(),
        score=sum(scores) / len(scores),
    )


def _unscaled(found: Comparison) -> Comparison:
    """Return a comparison of scores in [0, 1] as one of values in [-1, 1]."""
    return found.model_copy(
        update={
            "candidate_value": 2 * found.candidate_value - 1,
            "reference_value": 2 * found.reference_value - 1,
            **{name: 2 * getattr(found, name) for name in ("difference", "low", "high")},
            "only_candidate": None,
            "only_reference": None,
        }
    )


def _table(probed: Stored[BiasArtifact]) -> dict[str, list[Any]]:
    import pyarrow.parquet as parquet

    path = probed.file(probed.artifact.items)
    columns = ["id", "cluster", *(f"figure.{name}" for name in FIGURES[probed.artifact.kind])]
    missing = [name for name in columns if name not in parquet.read_schema(path).names]
    table: dict[str, list[Any]] = {} if missing else parquet.read_table(path, columns=columns).to_pydict()
    if missing or len(table["id"]) != probed.artifact.n:
        raise IntegrityError(
            f"probe {probed.artifact.probe} does not hold its {probed.artifact.n} items", where=str(path),
            fix="run again with --fresh bias",
        )  # fmt: skip
    return table
