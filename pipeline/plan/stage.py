"""The plan stage: look at the base and the raw rows, decide what the description leaves open, count what it costs."""

from __future__ import annotations

from dataclasses import replace

from pipeline.core.context import CallContext
from pipeline.core.workspace import Workspace, write_record
from pipeline.plan.base import Base, describe
from pipeline.plan.checks import check_length, check_rows, check_targets
from pipeline.plan.draft import Request, draw_up
from pipeline.plan.profile import Lengths, measure, size_of
from pipeline.plan.quantizers import check_quantizers
from pipeline.plan.raw_rows import TEST_NAMES, RawRows, look_at
from schemas.plan import PlanArtifact, PlanConfig, PlanInputs


def run(
    config: PlanConfig,
    inputs: PlanInputs,  # noqa: ARG001 - every stage is called alike
    context: CallContext,
    workspace: Workspace,
) -> PlanArtifact:
    """Draw up the plan of a run.

    Raises:
        SourceError, DataError: the training file is not there or holds no rows.
        ModelError: the base is not there, or its config is not one of a decoder.
        ConfigError: a template of the data is not valid, or a setting does not fit the base or the rows.
    """
    with context.progress("planning", 3) as advance:
        base = describe(config.base, context.secrets.get("HF_TOKEN"))
        advance(1)
        found = look_at(config.files.train, context, size=size_of(config.data))
        check_rows(config.train.method, config.data, found.sample)
        advance(1)
        artifact = draw_up(_request(config, base, found, context))
        advance(1)
    for warning in artifact.warnings:
        context.warn(warning)
    write_record(workspace.file(artifact.file), artifact.model_dump(mode="json"))
    return artifact


def _request(config: PlanConfig, base: Base, found: RawRows, context: CallContext) -> Request:
    """Return what the plan is drawn up for, its settings checked against base and rows."""
    rows = min(found.count, config.data.max_rows or found.count)
    lengths = _lengths(config, found, base)
    check_length(config.train, base.architecture, lengths)
    check_targets(config.train, base.architecture)
    check_quantizers(config.quantizers, base.architecture)
    train_rows, test_rows = _split(config, rows, context)
    return Request(
        task=config.task,
        architecture=base.architecture,
        from_scratch=config.base.init is not None,
        train=config.train,
        lengths=lengths,
        rows=rows,
        train_rows=train_rows,
        test_rows=min(test_rows, config.max_items or test_rows),
        evaluations=config.evaluations,
        variants=config.variants,
        constraints=config.constraints,
        target=config.target.get(config.primary_metric),
        baseline=None,
        alpha=config.alpha,
        power=config.power,
        served=config.served,
        gate=config.gate,
        notes=(*base.notes, *_notes(config, found)),
    )


def _split(config: PlanConfig, rows: int, context: CallContext) -> tuple[int, int]:
    """Return the training and test rows to expect, before any row is removed."""
    files, shares = config.files, config.data.split
    validation = 0 if files.validation is not None else round(rows * shares.validation)
    if files.test is not None:
        return rows - validation, look_at(files.test, context, TEST_NAMES).count
    test = round(rows * shares.test)
    return rows - validation - test, test


def _lengths(config: PlanConfig, found: RawRows, base: Base) -> Lengths:
    """Return the lengths of the sample, the longest that of all rows: those of the most characters are tokenized."""
    lengths, longest = (
        measure(rows, config.data, base.count, base.architecture.vocabulary) for rows in (found.sample, found.longest)
    )
    return replace(lengths, longest=max(lengths.longest, longest.longest))


def _notes(config: PlanConfig, found: RawRows) -> list[str]:
    if found.sample:
        return []
    return [f"none of the {found.count} rows of {config.files.train.location} could be read; the data stage says why"]
