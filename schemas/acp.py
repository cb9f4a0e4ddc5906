"""ACP: the compact JSON that agents send each other. A FINETUNE_MODEL message is answered with a TRAINING_PLAN."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from schemas.base import Schema
from schemas.methods import TrainMethod
from schemas.plan import Constraints
from schemas.train import AdapterKind, Positive

Metrics = dict[str, Annotated[float, Field(ge=0.0, le=1.0)]]


class AcpDataset(Schema):
    """The data set of a message: rows, and the task in the sender's words. ``mean_tokens`` of a row, if known."""

    size: Positive
    task: str
    mean_tokens: Annotated[float, Field(gt=0.0)] | None = None


class AcpMetrics(Schema):
    """Scores in [0, 1] by metric: what is reached today, and what is wanted. The first target is the primary one."""

    baseline: Metrics = {}
    target: Metrics = {}


class FinetuneModel(Schema):
    """``FINETUNE_MODEL``: asks for a plan. Without ``method`` the plan chooses between LoRA and QLoRA."""

    cmd: Literal["FINETUNE_MODEL"]
    base_model: Annotated[str, Field(min_length=1)]
    method: AdapterKind | None = None
    objective: TrainMethod = "sft"
    dataset: AcpDataset
    metrics: AcpMetrics = AcpMetrics()
    constraints: Constraints = Constraints()
    respond_format: Literal["TRAINING_PLAN"] = "TRAINING_PLAN"

    @field_validator("method", mode="before")
    @classmethod
    def _lower_case(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value


class AcpReason(Schema):
    """A decision and why."""

    value: float | int | str
    reason: str


class AcpHardware(Schema):
    """GPUs of one type with wall-clock hours, GPU-hours and US dollars of the whole run.

    ``within_constraints`` says whether it keeps what the message asks for.
    """

    gpu: str
    count: int
    hours: float
    gpu_hours: float
    dollars: float
    memory_gib_per_gpu: float
    within_constraints: bool


class AcpGain(Schema):
    """What the test split can show: the least detectable gain, beside the gain that is wanted."""

    metric: str | None
    baseline: float
    baseline_assumed: bool
    target: float | None
    gain_wanted: float | None
    test_rows: int
    power: float
    minimum_detectable_gain: float | None
    test_rows_needed: int | None


class TrainingPlanMessage(Schema):
    """``TRAINING_PLAN``: the answer. ``summary`` is for people; ``hash`` names the message that is answered."""

    cmd: Literal["TRAINING_PLAN"] = "TRAINING_PLAN"
    base_model: str
    parameters: int
    trainable_parameters: int
    method: AcpReason
    decisions: dict[str, AcpReason]
    hardware: AcpHardware | None
    alternatives: tuple[AcpHardware, ...]
    expected_gain: AcpGain
    servable_by_vllm: bool
    feasible: bool
    warnings: tuple[str, ...]
    prices_dated: str
    assumptions: tuple[str, ...]
    summary: str
    hash: str


class TrainingStatus(Schema):
    """Where a run is. ``est_completion`` is a duration in words (``2h``); null where it cannot be told."""

    epoch: float
    steps: int
    metrics: dict[str, float]
    gpu_hours: float
    est_completion: str | None
    checkpoints: tuple[str, ...]
    state: Literal["running", "finished", "failed"] | None = None


class TrainingStatusMessage(Schema):
    """The answer to a question after a run; ``hash`` names the run."""

    training_status: TrainingStatus
    hash: str
