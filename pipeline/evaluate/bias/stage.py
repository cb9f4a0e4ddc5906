"""The bias stage: one probe of one model, and one table of what it said."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.core.context import CallContext
from pipeline.core.models import model_files
from pipeline.core.numbers import percent
from pipeline.core.workspace import Workspace
from pipeline.evaluate.bias.bbq import probe_bbq
from pipeline.evaluate.bias.counterfactual import probe_counterfactual
from pipeline.evaluate.bias.pairs import probe_pairs
from pipeline.evaluate.bias.probing import Found, Probing
from pipeline.evaluate.bias.refusal import probe_refusal
from pipeline.evaluate.bias.toxicity import probe_toxicity
from pipeline.evaluate.local_model import LocalModel, trained_model
from pipeline.evaluate.table import as_utf8
from schemas.base import canonical_digest
from schemas.bias import BiasArtifact, BiasConfig, BiasInputs
from schemas.evaluate import BaseSubject, Score

PROBES: Mapping[str, Callable[[Any, Probing], Found]] = {
    "bbq": probe_bbq,
    "pairs": probe_pairs,
    "counterfactual": probe_counterfactual,
    "refusal": probe_refusal,
    "toxicity": probe_toxicity,
}
"""Every kind of probe."""


def run(config: BiasConfig, inputs: BiasInputs, context: CallContext, workspace: Workspace) -> BiasArtifact:
    """Ask a model what a probe asks, and state what is found with its intervals.

    Raises:
        ConfigError: the model is not given.
        SourceError, DataError: a file of the probe cannot be read.
        IntegrityError: one changed since the run began.
        ModelError, RenderError, EngineError, OutOfMemory: the model cannot be loaded, asked, or does not fit.
    """
    probe = config.probe
    probing = Probing(config, _model(config, inputs), inputs.data, workspace.scratch, context)
    found = PROBES[probe.kind](probe, probing)
    if found.unreadable:
        part = percent(found.unreadable / len(found.rows))
        context.warn(f"{probe.name}: {found.unreadable} of {len(found.rows)} answers ({part}) cannot be read")
    write_rows(workspace.file("items.parquet"), found.rows)
    return BiasArtifact(
        probe=probe.name,
        kind=probe.kind,
        subject=config.subject.kind,
        figures=_measured(found.figures),
        groups={name: _measured(figures) for name, figures in found.groups.items()},
        n=len(found.rows),
        unreadable=found.unreadable,
        truncated=sum(completion.finish_reason == "length" for completion in found.completions),
        data_digest=canonical_digest(found.asked),
        prompt_tokens=sum(completion.prompt_tokens for completion in found.completions),
        completion_tokens=sum(completion.completion_tokens for completion in found.completions),
        engine=found.engine,
    )


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write the table: the same bytes for the same rows."""
    import pyarrow as pa
    from pyarrow import parquet

    columns = {name: [_cell(row[name]) for row in rows] for name in rows[0]}
    parquet.write_table(pa.table(columns), path, compression="zstd")


def _cell(value: Any) -> Any:
    return as_utf8(value) if isinstance(value, str) else value


def _measured(figures: Mapping[str, Score | None]) -> dict[str, Score]:
    return {name: score for name, score in figures.items() if score is not None}


def _model(config: BiasConfig, inputs: BiasInputs) -> LocalModel:
    if isinstance(config.subject, BaseSubject):
        return LocalModel(model_files(config.base), config.chat_template, None)
    return trained_model(config.base, inputs.model)
