"""The register stage: comparisons, the gate's decision and the lineage, as one immutable version record."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from schemas.artifacts import Artifact, Inputs, Stored
from schemas.base import ArtifactRef, Digest, NotFingerprinted, Schema, Slug
from schemas.base_model import BaseModelRef
from schemas.bias import BiasArtifact
from schemas.data import DataArtifact
from schemas.evaluate import EvaluateArtifact, MetricSpec, RetentionSpec
from schemas.judge import JudgeArtifact
from schemas.optimize import OptimizeArtifact
from schemas.plan import PlanArtifact
from schemas.serve import ServeArtifact
from schemas.train import TrainArtifact


class GateOptions(Schema):
    """What a version must show to take traffic.

    ``alpha``: two-sided level of each paired test. ``minimum_gain``: least gain over the best baseline that counts.
    ``require_target``: refuse where a target of the spec is missed (otherwise the verdict says so and goes on).
    ``protected_metrics`` and ``protected_slices``: what may not be significantly worse than with the best baseline, all
    of it together at level ``alpha``; null protects every other metric, and every slice, that both were measured by.
    ``max_contamination``: the most of the test split, as a share, that may repeat or nearly repeat a training row.
    ``bias``: bounds of what ``evaluate.bias`` measures, as ``<probe>.<figure>``, kept with the whole interval.
    ``minimum_win_rate``: what the judge's win rate must reach with the lower end of its interval; null decides nothing.
    """

    alpha: Annotated[float, Field(gt=0.0, lt=0.5)] = 0.05
    minimum_gain: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    require_target: bool = True
    protected_metrics: tuple[str, ...] | None = None
    protected_slices: tuple[str, ...] | None = None
    max_contamination: Annotated[float, Field(ge=0.0, le=1.0)] = 0.1
    minimum_win_rate: Annotated[float, Field(ge=0.0, le=1.0)] | None = None
    bias: dict[str, Annotated[float, Field(ge=0.0, le=1.0)]] = {}
    resamples: Annotated[int, Field(ge=1000)] = 10_000

    @model_validator(mode="after")
    def _resamples_can_show_alpha(self) -> GateOptions:
        if self.resamples * self.alpha < 4:
            raise ValueError(f"{self.resamples} resamples show no level of {self.alpha:g}: give 4 / alpha at least")
        return self


class BudgetUse(Schema):
    """What a run had taken of one of its caps when its gate decided.

    ``limit`` is the key of the run description; ``allowed`` and ``used`` are US dollars, GPU-hours or
    hours of training.
    """

    limit: Literal["constraints.max_cost", "constraints.max_gpu_hours", "constraints.max_hours"]
    allowed: Annotated[float, Field(gt=0.0)]
    used: Annotated[float, Field(ge=0.0)]


class RegisterConfig(Schema):
    """Config of the register stage.

    ``shipped_seed`` is the seed whose model the variants come from; ``retention_waived`` the reason in the user's
    words where no retention is measured; ``margins`` the most that each variant may lose; ``max_answer_mismatches``
    that of `ParityOptions`. ``budget`` has one entry per cap of the run; the controller fills it in.
    """

    name: Slug
    spec_digest: Digest
    base: BaseModelRef
    metric: MetricSpec
    target: dict[str, float]
    gate: GateOptions
    retention: tuple[RetentionSpec, ...]
    retention_waived: str | None
    shipped_seed: int
    served_variant: str
    margins: dict[str, float] = {}
    max_answer_mismatches: Annotated[int, Field(ge=0)] = 1
    budget: Annotated[tuple[BudgetUse, ...], NotFingerprinted()] = ()

    @property
    def primary_metric(self) -> str:
        """The name of the metric that decides."""
        return self.metric.name


class RegisterInputs(Inputs):
    """Everything that was measured, by name: seeds ``seed-0``, variants, baselines, retention tasks."""

    plan: Stored[PlanArtifact]
    data: Stored[DataArtifact]
    models: dict[str, Stored[TrainArtifact]]
    evaluations: dict[str, Stored[EvaluateArtifact]]
    baselines: dict[str, Stored[EvaluateArtifact]]
    variants: dict[str, Stored[OptimizeArtifact]] = {}
    variant_evaluations: dict[str, Stored[EvaluateArtifact]] = {}
    retention_before: dict[str, Stored[EvaluateArtifact]] = {}
    retention_after: dict[str, Stored[EvaluateArtifact]] = {}
    judgements: dict[str, Stored[JudgeArtifact]] = {}
    bias: dict[str, Stored[BiasArtifact]] = {}
    serve: Stored[ServeArtifact] | None = None


class Comparison(Schema):
    """Two subjects on the same items. ``difference`` is candidate minus reference, with its two-sided interval.

    ``only_candidate`` and ``only_reference`` count items that just one of the two got right (binary metrics);
    ``task`` names the retention task where the items are not the run's own, and ``part`` the slice where they are not
    all of a split's; ``clusters`` counts the clusters of near-duplicates, null where every item is its own.
    """

    candidate: str
    reference: str
    metric: str
    n: int
    candidate_value: float
    reference_value: float
    difference: float
    low: float
    high: float
    p_value: float
    test: str
    interval: str
    only_candidate: int | None = None
    only_reference: int | None = None
    clusters: int | None = None
    task: str | None = None
    part: str | None = None


class Condition(Schema):
    """One condition of the gate as a measured number, of ``n`` items. ``required`` false: reported, does not decide."""

    name: str
    estimate: float | None
    low: float | None = None
    high: float | None = None
    threshold: float | None
    n: int | None = None
    passed: bool
    required: bool = True
    text: str


class SeedSpread(Schema):
    """A metric over seeds: mean, standard deviation (ddof 1) and t-interval; null where there is one seed."""

    values: dict[str, float]
    mean: float
    standard_deviation: float | None
    low: float | None
    high: float | None


Verdict = Literal["promoted", "refused"]


class Decision(Schema):
    """The gate's decision: says apart whether the model is better and whether the target is reached.

    ``target_reached`` is null where no target was named. ``budget`` has the conditions on what the run took, which
    another run at the same work takes otherwise; `all_conditions` has those as well.
    """

    verdict: Verdict
    better_than_baseline: bool
    target_reached: bool | None
    best_baseline: str
    conditions: tuple[Condition, ...]
    budget: Annotated[tuple[Condition, ...], NotFingerprinted()] = ()

    @property
    def all_conditions(self) -> tuple[Condition, ...]:
        """Every condition, those on the budget last."""
        return (*self.conditions, *self.budget)


class Lineage(Schema):
    """From data digest to decision: every artifact that the version came from.

    ``contents`` is the content digest, by fingerprint, that each had when the version was decided on.
    """

    data: ArtifactRef
    data_source_digest: str
    template_digest: str
    models: dict[str, ArtifactRef]
    variants: dict[str, ArtifactRef]
    evaluations: dict[str, ArtifactRef]
    judgements: dict[str, ArtifactRef] = {}
    bias: dict[str, ArtifactRef] = {}
    serve: ArtifactRef | None
    contents: dict[Digest, Digest]
    spec_digest: Digest


class RegisterArtifact(Artifact):
    """One version, immutable. Files: ``decision.json`` (without the budget), ``comparisons.json``, ``lineage.json``."""

    name: Slug
    base: BaseModelRef
    metric: MetricSpec
    target: dict[str, float]
    shipped: str
    served_variant: str
    decision: Decision
    baseline_comparisons: tuple[Comparison, ...]
    variant_comparisons: tuple[Comparison, ...]
    retention_comparisons: tuple[Comparison, ...]
    protected_comparisons: tuple[Comparison, ...]
    judgements: dict[str, JudgeArtifact] = {}
    bias: dict[str, BiasArtifact] = {}
    bias_comparisons: tuple[Comparison, ...] = ()
    seeds: SeedSpread
    lineage: Lineage

    @property
    def primary_metric(self) -> str:
        """The name of the metric that decides."""
        return self.metric.name
