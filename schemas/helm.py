"""What Stanford's HELM measured of a version: read from its run folders, kept beside hone's own numbers."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from schemas.base import ArtifactRef, Digest, Schema


class HelmFigure(Schema):
    """One metric on one split: its mean over ``n`` instances (the mean of these means where there are several trials).

    HELM states no interval.
    """

    metric: str
    split: str
    value: float
    n: Annotated[int, Field(gt=0)]


class HelmRun(Schema):
    """One run folder. ``name`` is that of its run spec; ``stats_digest`` is the sha256 of its ``stats.json``.

    ``helm_version`` is what the importer was told: a run folder does not state it. ``time`` is that of the import
    (UTC, ISO 8601).
    """

    name: str
    scenario: str
    model: str
    trials: Annotated[int, Field(gt=0)]
    figures: Annotated[tuple[HelmFigure, ...], Field(min_length=1)]
    stats_digest: Digest
    helm_version: str | None
    time: str


class HelmResults(Schema):
    """Everything that was imported for the version whose register artifact is ``record``, in the order of names."""

    record: ArtifactRef
    runs: tuple[HelmRun, ...]
