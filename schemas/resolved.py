"""A run description whose every outside reference is a content digest: what the flow works from."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from schemas.base import ArtifactRef, Digest, NotFingerprinted, Reference, Schema, Slug, canonical_digest
from schemas.base_model import BaseModelRef
from schemas.bias import BiasProbe
from schemas.data import DataFiles, DataOptions
from schemas.evaluate import HarnessConfig, MetricSpec
from schemas.metric import RewardSpec
from schemas.run import RunSpec

RECORD_METRICS = frozenset({"field_f1", "json_exact_match", "json_validity"})
"""Metrics whose references are JSON objects."""


class ResolvedRetention(Schema):
    """A retention task: files to read, the data artifact of the base's own run, or a task of lm-evaluation-harness.

    ``margin`` null: it is measured and decides nothing.
    """

    name: Slug
    metric: MetricSpec
    margin: float | None
    files: DataFiles | None = None
    options: DataOptions = DataOptions()
    artifact: ArtifactRef | None = None
    harness: HarnessConfig | None = None


class ResolvedJudge(Schema):
    """The files of ``evaluate.judge``: its template, and the pairs that people judged."""

    template: Reference | None = None
    labels: Reference | None = None


class ResolvedProbe(Schema):
    """A probe of ``evaluate.bias`` with the files that it names, by its keys."""

    probe: BiasProbe
    files: dict[str, Reference]


class Champion(Schema):
    """The registered version that serves now: the one to beat. ``only_vllm``: no other engine loads it."""

    version: int
    model: ArtifactRef
    base: BaseModelRef
    only_vllm: bool = False


class ResolvedRun(Schema):
    """A run: the spec as written, and what its references were when the run began.

    ``champion`` is that of the first start and stays for the run's life, so that a promoted run can be run again and
    does nothing; it is not part of the digest. ``parent`` is the version record that the base comes from, if it is one
    of hone's, and ``trained`` the data that it, and what it was trained from, learned from.
    """

    spec: RunSpec
    base: BaseModelRef
    data: DataFiles
    metrics: Annotated[tuple[MetricSpec, ...], Field(min_length=1)]
    retention: tuple[ResolvedRetention, ...]
    retention_waived: str | None
    judge: ResolvedJudge | None = None
    rewards: tuple[RewardSpec, ...] = ()
    teacher: BaseModelRef | None = None
    bias: tuple[ResolvedProbe, ...] = ()
    benchmarks: tuple[Reference, ...] = ()
    champion: Annotated[Champion | None, NotFingerprinted()] = None
    parent: Annotated[ArtifactRef | None, NotFingerprinted()] = None
    trained: Annotated[dict[str, ArtifactRef], NotFingerprinted()] = {}

    @property
    def asks_tfidf(self) -> bool:
        """Whether the TF-IDF reference is among the baselines: where it is left open, it is asked whenever it fits."""
        if self.spec.ranks:
            return False
        asked = self.spec.evaluate.baselines.tfidf
        if asked is not None:
            return asked
        records = self.spec.task == "extraction" and any(metric.name in RECORD_METRICS for metric in self.metrics)
        return records or self.spec.task == "classification"

    def digest(self) -> Digest:
        """Return the digest of what is asked for: the same words about the same bytes are the same run."""
        return canonical_digest(self)

    def run_id(self) -> str:
        """Return the run's name in the workspace: spec name and digest."""
        return f"{self.spec.name}-{self.digest()[:10]}"


class RunFile(ResolvedRun):
    """``runs/<run>/run.json``: the resolved run, its id, and when it was first started (UTC, ISO 8601)."""

    run: str
    spec_digest: Digest
    created_at: str

    def resolved(self) -> ResolvedRun:
        """Return the run without its record."""
        return ResolvedRun.model_validate({name: getattr(self, name) for name in ResolvedRun.model_fields})
