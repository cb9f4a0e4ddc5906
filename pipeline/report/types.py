"""What a report holds: numbers and names, as they stand in the manifests; `report.json` is this value."""

from __future__ import annotations

from typing import Literal

from pipeline.core.registry import RegisteredVersion
from schemas.artifacts import Cost
from schemas.base import ArtifactRef, Schema
from schemas.bias import BiasArtifact
from schemas.data import DropCount
from schemas.errors import ErrorRecord
from schemas.evaluate import Confusion, Reliability, Score, WeakSlice
from schemas.human import HumanEvaluation
from schemas.judge import JudgeArtifact
from schemas.preflight import Finding
from schemas.register import Comparison, Condition, SeedSpread
from schemas.rl import RewardReport
from schemas.train import Recovery

Role = Literal["baseline", "tuned", "variant"]
Answer = Literal["ship", "do not ship", "undecided"]
Outcome = Literal["met", "not met", "missed", "waived"]


class OverrideNote(Schema):
    """Somebody moved an alias to a version that its gate refused: why, and when (UTC, ISO 8601)."""

    reason: str
    time: str


class Registration(Schema):
    """What the registry adds to a decision: the version (``name@3``), its aliases, and every override of the gate."""

    version: str | None = None
    aliases: tuple[str, ...] = ()
    overrides: tuple[OverrideNote, ...] = ()

    @classmethod
    def of(cls, version: RegisteredVersion | None) -> Registration:
        """Return what the registry says of ``version``; nothing where it is not registered."""
        if version is None:
            return cls()
        notes = tuple(OverrideNote(reason=item.reason, time=item.time) for item in version.overrides)
        return cls(version=str(version), aliases=version.aliases, overrides=notes)


class Fact(Schema):
    """One thing that was asked for, in words."""

    name: str
    text: str


class Statement(Schema):
    """A condition of the gate in plain words; ``missed`` ones do not decide, ``waived`` ones were asked not to."""

    name: str
    outcome: Outcome
    text: str


class SubjectScores(Schema):
    """One evaluated subject. ``title`` is its name in plain words; ``truncated`` counts answers cut at the limit."""

    name: str
    title: str
    role: Role
    n: int
    scores: dict[str, Score]
    slices: dict[str, dict[str, Score]]
    truncated: int
    engine: str
    weak: tuple[WeakSlice, ...] = ()
    measures: dict[str, Score] = {}
    reliability: tuple[Reliability, ...] = ()


class StageCost(Schema):
    """All calls of one stage. ``reused`` calls were done before; their cost is that of the run that did them."""

    stage: str
    calls: int
    reused: int
    cpu_seconds: float
    wall_seconds: float
    peak_memory_bytes: int


class PlannedMeasured(Schema):
    """A quantity as planned and as measured; ``unit`` is seconds, bytes or a count's name."""

    quantity: str
    unit: str
    planned: float
    measured: float | None


class GpuEstimate(Schema):
    """What the plan expects of the whole run on the GPU that it recommends, at prices of a stated day."""

    gpu: str
    count: int
    seconds: float
    dollars: float
    prices_dated: str


class DataCounts(Schema):
    """What the data stage read, removed and kept, and what its preflight found (errors first)."""

    read: int
    rows: dict[str, int]
    dropped: tuple[DropCount, ...]
    personal_data: dict[str, int]
    leaked: dict[str, int]
    near_train_test_rows: int
    clusters: int
    source_digest: str
    findings: tuple[Finding, ...] = ()


class LossPoint(Schema):
    """One logged step; losses in nats per trained token. ``reward`` is what drawn answers earned, where some were."""

    step: int
    loss: float | None
    eval_loss: float | None
    reward: float | None = None


class Training(Schema):
    """One trained seed and its loss curve."""

    name: str
    shipped: bool
    steps: int
    epochs: float
    parameters: int
    trainable_parameters: int
    train_loss: float
    eval_loss: float | None
    best_step: int | None
    stopped_early: bool
    rows: int
    dropped_long: int
    truncated: int
    tokens: int
    trained_tokens: int
    replay_rows: dict[str, int]
    recoveries: tuple[Recovery, ...]
    rewards: RewardReport | None = None
    curve: tuple[LossPoint, ...]


class VariantRow(Schema):
    """One form of the model: its size in bytes, how far its logits are from its parent's, and its score."""

    name: str
    scheme: str
    size_bytes: int
    parent_size_bytes: int
    bytes_per_parameter: float
    logit_difference: float
    score: Score | None


class RetentionRow(Schema):
    """A task of the base, before and after training."""

    task: str
    metric: str
    before: Score | None
    after: Score | None


class ChangedItem(Schema):
    """One test item on which the tuned model and the best baseline differ."""

    id: str
    prompt: str
    reference: str
    baseline: str
    tuned: str


class SliceChanges(Schema):
    """Of the ``n`` items of a slice, how many were fixed and how many broken."""

    name: str
    n: int
    fixed: int
    broken: int


class ItemChanges(Schema):
    """What tuning fixed and broke against one baseline, counted over all items, with the first examples of each.

    ``slices`` has those in which something changed, the most changed first.
    """

    baseline: str
    tuned: str
    metric: str
    n: int
    fixed: int
    broken: int
    fixed_examples: tuple[ChangedItem, ...]
    broken_examples: tuple[ChangedItem, ...]
    slices: tuple[SliceChanges, ...] = ()


class WorstItem(Schema):
    """One of the items that the tuned model scores lowest on, by the metric that decides."""

    id: str
    prompt: str
    reference: str
    tuned: str
    score: float


class Parity(Schema):
    """Training render against served engine; null mismatches were not measured."""

    engine: str
    engine_version: str
    prompts: int
    prompt_mismatches: int | None
    answer_mismatches: int
    smoke_prompt: str
    smoke_answer: str
    ready_seconds: float


class CallRow(Schema):
    """One call of the run and the artifact behind it; ``not reached`` calls have none."""

    id: str
    stage: str
    status: str
    ref: ArtifactRef | None = None
    content_digest: str | None = None
    stage_version: str | None = None
    code_version: str | None = None
    environment: str | None = None
    environment_digest: str | None = None
    cost: Cost | None = None
    error: ErrorRecord | None = None


class ConfigRow(Schema):
    """One value of the configuration and who chose it: the description, the plan, or hone's default."""

    key: str
    value: str
    chosen_by: Literal["spec", "plan", "default"]
    reason: str = ""


class Report(Schema):
    """Everything that a report says, before it is laid out for reading."""

    run: str
    name: str
    created_at: str
    spec_digest: str
    task: str
    primary_metric: str
    alpha: float
    registration: Registration
    asked: tuple[Fact, ...]
    answer: Answer
    reasons: tuple[str, ...]
    gain: Comparison | None
    better_than_baseline: bool | None
    target_reached: bool | None
    best_baseline: str | None
    served_variant: str | None
    statements: tuple[Statement, ...]
    conditions: tuple[Condition, ...]
    next_steps: tuple[str, ...]
    limitations: tuple[str, ...]
    costs: tuple[StageCost, ...]
    planned: tuple[PlannedMeasured, ...]
    gpu: GpuEstimate | None
    data: DataCounts | None
    subjects: tuple[SubjectScores, ...]
    baseline_comparisons: tuple[Comparison, ...]
    variant_comparisons: tuple[Comparison, ...]
    retention_comparisons: tuple[Comparison, ...]
    protected_comparisons: tuple[Comparison, ...]
    bias: dict[str, BiasArtifact]
    bias_comparisons: tuple[Comparison, ...]
    judgements: dict[str, JudgeArtifact]
    human: tuple[HumanEvaluation, ...]
    seeds: SeedSpread | None
    retention: tuple[RetentionRow, ...]
    retention_waived: str | None
    variants: tuple[VariantRow, ...]
    training: tuple[Training, ...]
    confusions: tuple[Confusion, ...]
    changes: ItemChanges | None
    champion_changes: ItemChanges | None = None
    worst: tuple[WorstItem, ...] = ()
    parity: Parity | None
    calls: tuple[CallRow, ...]
    configuration: tuple[ConfigRow, ...]
