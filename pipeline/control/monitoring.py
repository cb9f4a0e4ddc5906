"""Watching a version: its captured answers against a reference, written down as a report."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pipeline.control.versions import VersionFiles, open_version
from pipeline.core.errors import ConfigError, DataError
from pipeline.core.examples import read_examples
from pipeline.core.registry import Registry, resolve
from pipeline.core.workspace import write_atomic
from pipeline.execute import load_held
from pipeline.monitor.captured import Captured
from pipeline.monitor.choose import Chosen, choose_rows
from pipeline.monitor.compare import drift_report
from pipeline.monitor.partitions import FOLDER, Partitions
from pipeline.monitor.rows import Row
from pipeline.monitor.windows import Embedder
from pipeline.report.drift import drift_html
from schemas.artifacts import Stored
from schemas.evaluate import EvaluateArtifact
from schemas.monitor import DriftReport, MonitorConfig, ReferenceKind

REPORTS: Final = "monitor"
"""The folder of the workspace with reports, by version."""

_NUMBERED = re.compile(r".+@[0-9]{1,9}")
_NAMED_BY = 12


@dataclass(frozen=True)
class Watched:
    """A report, the rows that it is about, and its two files."""

    report: DriftReport
    chosen: Chosen
    html: Path
    json: Path


def watch(
    root: Path,
    open_registry: Callable[[], Registry],
    reference: str,
    config: MonitorConfig,
    *,
    kind: ReferenceKind = "first",
    history: int = 0,
    embedder: Embedder | None = None,
) -> Watched:
    """Compare a version's newest captured answers with a reference, and write the report below ``root``.

    Args:
        root: the workspace.
        open_registry: opens the registry, which a numbered version with the reference ``first`` does not need.
        reference: ``name@3``, ``name@champion`` or ``name``.
        config: how it is compared.
        kind: what it is compared with.
        history: how many earlier windows are compared too.
        embedder: for texts; hashed n-grams if left out.

    Raises:
        RegistryError: there is no such version.
        DataError: too few answers are captured.
        IntegrityError: a partition or an evaluation is damaged or gone.
    """
    version = reference if _NUMBERED.fullmatch(reference) else str(resolve(open_registry(), reference))
    captured = Captured(Partitions(root / FOLDER), version)
    evaluated = evaluated_rows(open_version(root, open_registry(), version)) if kind == "test" else None
    chosen = choose_rows(captured.rows(), config, history=history, evaluated=evaluated)
    report = drift_report(version, kind, chosen, config, embedder)
    place = root / REPORTS / version
    place.mkdir(parents=True, exist_ok=True)
    name = f"{report.current.digest[:_NAMED_BY]}"
    write_atomic(place / f"{name}.json", report.model_dump_json(indent=2) + "\n")
    write_atomic(place / f"{name}.html", drift_html(report))
    return Watched(report, chosen, place / f"{name}.html", place / f"{name}.json")


def evaluated_rows(files: VersionFiles) -> list[Row]:
    """Return the test rows of a version with what it answered, as it was evaluated before it was served.

    Raises:
        ConfigError: its rows are plain text. DataError: there are none.
    """
    from pyarrow import parquet

    record = files.record.artifact
    evaluations = record.lineage.evaluations
    ref = evaluations.get(f"variant.{record.served_variant}", evaluations.get(f"model.{record.shipped}"))
    if ref is None or files.data.artifact.kind == "text":
        raise ConfigError(
            f"{files.version} has no evaluated questions and answers",
            where="--reference",
            fix="compare with --reference first",
        )
    found: Stored[EvaluateArtifact] = load_held(files.store, record.lineage, ref)
    asked = {
        example.id: example
        for example in read_examples(files.data.file(files.data.artifact.files[found.artifact.split]))
    }
    rows = []
    for item in parquet.read_table(found.file(found.artifact.items), columns=["id", "cluster", "answer"]).to_pylist():
        turns = [turn.content for turn in asked[item["id"]].prompt if turn.role == "user"]
        text = turns[-1] if turns else ""
        rows.append(
            Row(
                id=item["id"],
                unit=f"cluster {item['cluster']}",
                input=text,
                output=item["answer"],
                input_length=len(text),
                output_length=len(item["answer"]),
            )
        )
    if not rows:
        raise DataError(f"{files.version} was evaluated on nothing", where="--reference", fix="use --reference first")
    return rows
