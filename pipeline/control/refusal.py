"""Refusing a run before anything is trained: what the preflight of its data found, as one error."""

from __future__ import annotations

from typing import Any

from pipeline.core.errors import DataError
from pipeline.core.findings import finding_text, ordered, refusing
from schemas.data import DataArtifact
from schemas.faults import FAULTS, Subject
from schemas.preflight import Finding
from schemas.resolved import ResolvedRun

_TOLD = 3
"""Faults that the message tells; the detail has all."""

_KEYS: dict[Subject, str] = {"serving": "train.lora", "tokenizer": "base_model"}
"""Where faults that are not of rows come from."""


def refusal(artifact: Any, run: ResolvedRun) -> DataError | None:
    """Return why a run must not go on with what a call left; None where it may, and for whatever is not data."""
    found = refusing(artifact.findings) if isinstance(artifact, DataArtifact) else []
    if not found:
        return None
    told = [f"{finding.code}: {finding_text(finding)}" for finding in found]
    more = f"; and {len(told) - _TOLD} more" if len(told) > _TOLD else ""
    faults = "1 fault" if len(found) == 1 else f"{len(found)} faults"
    return DataError(
        f"the preflight found {faults} that training must not go on with: {'; '.join(told[:_TOLD])}{more}",
        where=_place(found[0], run),
        fix=_fix(found[0]),
        detail="\n".join(f"{one.severity}: {one.code}: {finding_text(one)}" for one in ordered(artifact.findings)),
    )


def _place(finding: Finding, run: ResolvedRun) -> str:
    """Return the file whose row numbers a finding names: its split's own, or the one that splits are cut from.

    A fault that is not of rows is at the key that brought it.
    """
    if not finding.rows and (key := _KEYS.get(FAULTS[finding.code].subject)) is not None:
        return key
    own = getattr(run.data, finding.split) if finding.split is not None else None
    return str((own or run.data.train).location)


def _fix(finding: Finding) -> str:
    fault = FAULTS[finding.code]
    if finding.severity != fault.severity:
        return f"{fault.fix}, or change {fault.policy}"
    return f"{fault.fix}; or name it in preflight.ignore" if fault.ignorable else fault.fix
