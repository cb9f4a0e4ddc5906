"""The preflight of a data set: every check, and one ordered list of what they found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from pipeline.core.context import CallContext
from pipeline.core.findings import finding_text, ordered
from pipeline.data.checks.labels import check_labels
from pipeline.data.checks.languages import check_languages
from pipeline.data.checks.make import finding
from pipeline.data.checks.preferences import check_preferences
from pipeline.data.checks.rendering import check_rendering
from pipeline.data.checks.rows import check_rows
from pipeline.data.checks.splits import check_splits
from pipeline.data.prepared import Prepared
from pipeline.render import Inspection
from schemas.data import DataConfig, Split
from schemas.faults import FAULTS, FaultCode
from schemas.preflight import Finding, PreflightConfig

_TOLD: Final[frozenset[FaultCode]] = frozenset(
    (
        *("unusable_row", "empty_answer", "undeclared_label", "equal_pair", "contradiction", "near_duplicate"),
        *("personal_data", "personal_data_in_answers", "training_asks_test", "test_copies_training", "rows_too_long"),
        *("test_near_training", "disagreeing_near_duplicates", "label_never_trained", "one_answer", "test_too_small"),
        *("exact_duplicate", "most_rows_too_long"),
    )
)
"""Classes of which the steps of the data stage, or the plan, warn in their own words."""


def preflight(
    config: DataConfig, prepared: Prepared, inspections: Mapping[Split, Inspection], context: CallContext
) -> tuple[Finding, ...]:
    """Return everything that was found, errors first; nothing where no preflight is asked for.

    Raises:
        SourceError, ConfigError, DataError: a file of benchmark items cannot be read.
    """
    if config.preflight is None:
        return ()
    found = ordered(
        one.model_copy(update={"ignored": _is_ignored(one, config.preflight)})
        for one in _found(config, config.preflight, prepared, inspections, context)
    )
    for one in found:
        if one.severity == "warning" and not one.ignored and one.code not in _TOLD:
            context.warn(f"preflight, {one.code}: {finding_text(one)}")
    return tuple(found)


def _found(
    config: DataConfig,
    asked: PreflightConfig,
    prepared: Prepared,
    inspections: Mapping[Split, Inspection],
    context: CallContext,
) -> Iterator[Finding]:
    if config.render is not None:
        yield from check_rendering(inspections, config.render)
    yield from check_rows(prepared)
    yield from check_languages(prepared, asked.languages)
    yield from check_splits(prepared, asked, context)
    yield from check_labels(prepared)
    yield from check_preferences(prepared)
    if asked.unservable:
        yield finding("adapter_not_servable", detail="; ".join(asked.unservable))


def _is_ignored(one: Finding, asked: PreflightConfig) -> bool:
    """A policy of ``stop`` is not silenced: the policy is what says otherwise."""
    return one.code in asked.ignore and one.severity == FAULTS[one.code].severity
