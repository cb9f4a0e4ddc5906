"""The bias stage: one probe of one model, and one table of what it said."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.core.context import CallContext
from pipeline.core.models import model_files
from pipeline.core.numbers import percent
from pipeline.core.workspace import Workspace
from pipeline.evaluate.bias.bbq import probe_bbq
from pipeline.evaluate.bias.counterfactual import probe_counterfactual
from pipeline.evaluate.bias.figures import figures_of
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
    silent = [all(said is None for said in values) for values in zip(*found.values.values(), strict=True)]
    unreadable = sum(silent)
    if unreadable:
        part = percent(unreadable / len(silent))
        context.warn(f"{probe.name}: {unreadable} of {len(silent)} answers ({part}) cannot be read")
    write_rows(workspace.file("items.parquet"), found)
    clusters = [row["cluster"] for row in found.rows]
    return BiasArtifact(
        probe=probe.name,
        kind=probe.kind,
        subject=config.subject.kind,
        figures=figures_of(probe.kind, found.values, clusters),
        groups=_groups(probe.kind, found, clusters),
        n=len(found.rows),
        unreadable=unreadable,
        truncated=sum(completion.finish_reason == "length" for completion in found.completions),
        data_digest=canonical_digest(found.asked),
        prompt_tokens=sum(completion.prompt_tokens for completion in found.completions),
        completion_tokens=sum(completion.completion_tokens for completion in found.completions),
        engine=found.engine,
    )


def _groups(kind: str, found: Found, clusters: Sequence[Hashable]) -> dict[str, dict[str, Score]]:
    groups = {}
    for name in dict.fromkeys(row["group"] for row in found.rows if row["group"] is not None):
        places = [place for place, row in enumerate(found.rows) if row["group"] == name]
        values = {figure: [said[place] for place in places] for figure, said in found.values.items()}
        groups[name] = figures_of(kind, values, [clusters[place] for place in places])
    return groups


def write_rows(path: Path, found: Found) -> None:
    """Write ``items.parquet``: the rows, and what each says as ``figure.<name>``; the same bytes for the same rows."""
    import pyarrow as pa
    from pyarrow import parquet

    columns = {name: pa.array([_cell(row[name]) for row in found.rows]) for name in found.rows[0]}
    columns |= {f"figure.{name}": pa.array(list(said), pa.float64()) for name, said in found.values.items()}
    parquet.write_table(pa.table(columns), path, compression="zstd")


def _cell(value: Any) -> Any:
    return as_utf8(value) if isinstance(value, str) else value


def _model(config: BiasConfig, inputs: BiasInputs) -> LocalModel:
    if isinstance(config.subject, BaseSubject):
        return LocalModel(model_files(config.base), config.chat_template, None)
    return trained_model(config.base, inputs.model)
