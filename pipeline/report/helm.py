"""What HELM measured of a version, for its card and `hone show version`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import ValidationError

from pipeline.core.errors import IntegrityError
from pipeline.core.helm import helm_results_file
from pipeline.report.page import Block, Paragraph, Table
from schemas.base import ArtifactRef
from schemas.helm import HelmResults, HelmRun

TITLE = "Measured by HELM"
_DIGITS = 12


def helm_runs(root: Path, record: ArtifactRef) -> tuple[HelmRun, ...]:
    """Return what was imported for the version whose register artifact this is, by run name.

    Raises:
        IntegrityError: the file is damaged, or belongs to another version.
    """
    path = helm_results_file(root, record)
    if not path.is_file():
        return ()
    try:
        results = HelmResults.model_validate_json(path.read_text(encoding="utf-8"))
    except (ValidationError, UnicodeDecodeError) as error:
        raise _damaged(path, "what HELM measured is damaged") from error
    if results.record != record:
        raise _damaged(path, f"what HELM measured belongs to {results.record}")
    return results.runs


def helm_blocks(runs: Sequence[HelmRun]) -> Iterator[Block]:
    """Yield one table of all runs; nothing where nothing was imported."""
    if not runs:
        return
    yield Paragraph(
        "Imported from HELM's own runs against this version; hone did not measure these, its gate did not use them, "
        "and HELM states no intervals. The digest is the sha256 of each run's stats.json."
    )
    columns = ("Run", "Metric", "Split", "Value", "n", "HELM", "stats.json")
    rows = tuple(
        (run.name, figure.metric, figure.split, f"{figure.value:.4f}", f"{figure.n:,}", *_origin(run))
        for run in runs
        for figure in run.figures
    )
    yield Table(TITLE, columns, rows, frozenset({"Value", "n"}))


def helm_lines(runs: Sequence[HelmRun]) -> Iterator[str]:
    """Yield one line for each number."""
    for run in runs:
        version, digest = _origin(run)
        for figure in run.figures:
            yield (
                f"{run.name}: {figure.metric} {figure.value:.4f} on {figure.split} (n = {figure.n:,}; "
                f"HELM {version}; stats.json {digest})"
            )


def _origin(run: HelmRun) -> tuple[str, str]:
    return run.helm_version or "not stated", run.stats_digest[:_DIGITS]


def _damaged(path: Path, message: str) -> IntegrityError:
    return IntegrityError(message, where=str(path), fix="remove the file and import HELM's runs again")
