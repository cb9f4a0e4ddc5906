"""Fine-tuning jobs in OpenAI's shapes, and what hone adds to them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, JsonValue, StringConstraints, model_validator

from schemas.base import Schema, Seed
from schemas.register import Verdict

JobStatus = Literal["validating_files", "queued", "running", "pausing", "paused", "succeeded", "failed", "cancelled"]

Auto = Literal["auto"]
Epochs = Auto | Annotated[int, Field(ge=1, le=50)]
BatchSize = Auto | Annotated[int, Field(ge=1, le=4096)]
Multiplier = Auto | Annotated[float, Field(gt=0.0, le=1000.0)]
Beta = Auto | Annotated[float, Field(gt=0.0, le=2.0)]

Metadata = Annotated[
    dict[Annotated[str, StringConstraints(max_length=64)], Annotated[str, StringConstraints(max_length=512)]],
    Field(max_length=16),
]


class Hyperparameters(Schema):
    """What of a training may be said; ``auto`` leaves it to the plan.

    ``batch_size`` is the rows of one optimizer step; ``learning_rate_multiplier`` scales the plan's learning rate.
    """

    n_epochs: Epochs = "auto"
    batch_size: BatchSize = "auto"
    learning_rate_multiplier: Multiplier = "auto"


class DpoHyperparameters(Hyperparameters):
    """The same for preferences; ``beta`` holds the model to its base."""

    beta: Beta = "auto"


class SupervisedMethod(Schema):
    """Supervised fine-tuning."""

    hyperparameters: Hyperparameters = Hyperparameters()


class DpoMethod(Schema):
    """Direct preference optimization."""

    hyperparameters: DpoHyperparameters = DpoHyperparameters()


class Method(Schema):
    """How a job trains, with the options of that way."""

    type: Literal["supervised", "dpo"] = "supervised"
    supervised: SupervisedMethod | None = None
    dpo: DpoMethod | None = None

    @model_validator(mode="after")
    def _options_fit(self) -> Method:
        for name in ("supervised", "dpo"):
            if name != self.type and getattr(self, name) is not None:
                raise ValueError(f"options of {name} do not belong to method {self.type}")
        return self

    @property
    def hyperparameters(self) -> Hyperparameters:
        """The options of the method."""
        if self.type == "dpo":
            return (self.dpo or DpoMethod()).hyperparameters
        return (self.supervised or SupervisedMethod()).hyperparameters


class JobRequest(Schema):
    """The body of ``POST /v1/fine_tuning/jobs``.

    ``model`` is a base (``hone:tiny``, a Hub id), a registered version (``name@champion``, ``name@3``) or the
    ``fine_tuned_model`` of a job. ``hyperparameters`` is the older place of ``method``'s. ``spec`` is hone's own: keys
    of a run description, for all that this shape lacks.
    """

    model: Annotated[str, StringConstraints(min_length=1, max_length=256)]
    training_file: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    validation_file: Annotated[str, StringConstraints(min_length=1, max_length=64)] | None = None
    method: Method | None = None
    hyperparameters: Hyperparameters | None = None
    suffix: Annotated[str, StringConstraints(min_length=1, max_length=64)] | None = None
    seed: Seed | None = None
    metadata: Metadata | None = None
    integrations: Annotated[tuple[dict[str, Any], ...], Field(max_length=0)] | None = None
    spec: dict[str, JsonValue] | None = None

    @model_validator(mode="after")
    def _said_once(self) -> JobRequest:
        if self.method is not None and self.hyperparameters is not None:
            raise ValueError("hyperparameters are given twice: put them into method alone")
        return self

    @property
    def chosen(self) -> Method:
        """The method with its options, wherever they were written."""
        if self.method is not None:
            return self.method
        return Method(supervised=SupervisedMethod(hyperparameters=self.hyperparameters or Hyperparameters()))


class JobFailure(Schema):
    """Why a job failed. ``param`` names the field of the request that is wrong, if it is one."""

    code: str
    message: str
    param: str | None = None


class JobRun(Schema):
    """What a job is here: its run, and when it is done the version that it registered and what the gate said of it.

    A refused version can be asked by its name, and takes no traffic of its alias.
    """

    run: str | None = None
    version: str | None = None
    verdict: Verdict | None = None


class FineTuningJob(Schema):
    """A job. Times are Unix seconds; ``hone`` is what OpenAI's shape lacks."""

    id: str
    object: Literal["fine_tuning.job"] = "fine_tuning.job"
    created_at: int
    finished_at: int | None = None
    estimated_finish: int | None = None
    status: JobStatus
    model: str
    fine_tuned_model: str | None = None
    organization_id: str
    training_file: str
    validation_file: str | None = None
    result_files: tuple[str, ...] = ()
    hyperparameters: Hyperparameters
    method: Method
    seed: int
    trained_tokens: int | None = None
    metadata: Metadata | None = None
    integrations: tuple[dict[str, Any], ...] = ()
    error: JobFailure | None = None
    hone: JobRun


class JobEvent(Schema):
    """One thing that happened to a job; ``metrics`` carry their numbers in ``data``."""

    id: str
    object: Literal["fine_tuning.job.event"] = "fine_tuning.job.event"
    created_at: int
    level: Literal["info", "warn", "error"]
    message: str
    type: Literal["message", "metrics"] = "message"
    data: dict[str, JsonValue] | None = None


class CheckpointMetrics(Schema):
    """Losses at a step, in nats per trained token."""

    step: int
    train_loss: float | None = None
    valid_loss: float | None = None


class JobCheckpoint(Schema):
    """A model that was saved on the way, by the name that asks it."""

    id: str
    object: Literal["fine_tuning.job.checkpoint"] = "fine_tuning.job.checkpoint"
    created_at: int
    fine_tuning_job_id: str
    fine_tuned_model_checkpoint: str
    step_number: int
    metrics: CheckpointMetrics
