"""The evaluate stage: one subject, one split, the same items for all."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from schemas.artifacts import Artifact, Inputs, Stored
from schemas.base import Reference, RelativePath, Schema, Seed, Slug
from schemas.base_model import BaseModelRef
from schemas.data import DataArtifact, Split
from schemas.metric import MetricSpec as MetricSpec
from schemas.optimize import OptimizeArtifact
from schemas.train import TrainArtifact

CLEAN, NEAR_TRAIN = "clean", "near_train"
"""Slices of a split: its items without, and with, a near-duplicate among the training rows."""


class GenerationConfig(Schema):
    """Greedy or sampled generation, under transformers' and vLLM's names.

    ``backend`` ``transformers`` runs in the main environment, ``vllm`` in its own.
    """

    backend: Literal["transformers", "vllm"] = "transformers"
    max_new_tokens: Annotated[int, Field(gt=0)] = 128
    temperature: Annotated[float, Field(ge=0.0)] = 0.0
    top_p: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    batch_size: Annotated[int, Field(gt=0)] = 32
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    seed: Seed = 0


class BaseSubject(Schema):
    """The base model, asked with an instruction and ``few_shot`` examples from the training split."""

    kind: Literal["base"] = "base"
    instruction: str | None = None
    few_shot: Annotated[int, Field(ge=0)] = 0


class ModelSubject(Schema):
    """A trained or optimized model: the ``model`` input."""

    kind: Literal["model"] = "model"


class EndpointSubject(Schema):
    """Any OpenAI-compatible endpoint; the key is a secret's name, never its value."""

    kind: Literal["endpoint"] = "endpoint"
    base_url: str
    model: str
    api_key_secret: str | None = None
    instruction: str | None = None
    few_shot: Annotated[int, Field(ge=0)] = 0


class TfidfSubject(Schema):
    """TF-IDF features and logistic regression trained on the training split, by label or by a record's fields."""

    kind: Literal["tfidf"] = "tfidf"


Subject = Annotated[BaseSubject | ModelSubject | EndpointSubject | TfidfSubject, Field(discriminator="kind")]


class HarnessOptions(Schema):
    """How a task of lm-evaluation-harness is asked, under its own names.

    ``metric`` is one of the task's that is a mean over items, each in [0, 1], and ``filter`` the one of its filters
    that reads the answers, by default its first. ``num_fewshot`` null is the task's own. ``limit`` takes the first
    items. ``allow_code`` lets a local file name functions (``!function``) and use templates that are not sandboxed: it
    runs what the file says, with the user's rights.
    """

    metric: Annotated[str, Field(pattern=r"^[A-Za-z][\w-]*$")] = "acc"
    filter: str | None = None
    num_fewshot: Annotated[int | None, Field(ge=0)] = None
    limit: Annotated[int | None, Field(gt=0)] = None
    apply_chat_template: bool = False
    allow_code: bool = False


class HarnessConfig(HarnessOptions):
    """A harness task to be measured: one of those that lm_eval has, by ``task``, or the local ``file``.

    ``files`` are the data and code files that the local file names, by the names that stand in it.
    """

    task: str | None = None
    file: Reference | None = None
    files: dict[str, Reference] = {}

    @model_validator(mode="after")
    def _one_task(self) -> HarnessConfig:
        if (self.task is None) == (self.file is None):
            raise ValueError("name either a task of lm_eval or a file")
        return self


class EvaluateConfig(Schema):
    """Config of the evaluate stage. ``base`` is needed by base and adapter subjects.

    ``harness`` replaces the items of the data artifact by those of a task of lm-evaluation-harness; ``metrics`` then
    has its one metric.

    ``measures`` describe the model's own probabilities and decide nothing.
    ``chat_template`` is for a base that has none of its own: every model is asked in the template that it knows.
    ``ranks`` asks which answer of each pair is preferred, in place of an answer.
    ``max_items`` takes the first items in the split's stored order. ``seed`` draws few-shot examples and bootstrap
    samples.
    """

    subject: Subject
    base: BaseModelRef | None = None
    split: Split = "test"
    metrics: Annotated[tuple[MetricSpec, ...], Field(min_length=1)]
    measures: tuple[MetricSpec, ...] = ()
    generation: GenerationConfig = GenerationConfig()
    chat_template: str | None = None
    max_items: Annotated[int, Field(gt=0)] | None = None
    harness: HarnessConfig | None = None
    ranks: bool = False
    seed: Seed = 0


class EvaluateInputs(Inputs):
    """``model`` is there for a `ModelSubject`, ``data`` for everything but a harness task."""

    data: Stored[DataArtifact] | None = None
    model: Stored[TrainArtifact] | Stored[OptimizeArtifact] | None = None


class Score(Schema):
    """A metric over ``n`` items with its 95% interval; ``method`` names the interval's."""

    value: float
    low: float
    high: float
    n: int
    method: str


class Confusion(Schema):
    """``count`` items of ``expected`` answered with ``predicted``; ``field`` is the JSON key, if any."""

    expected: str
    predicted: str
    count: int
    field: str | None = None


class WeakSlice(Schema):
    """A slice on which the deciding metric is significantly worse than on the other items.

    ``difference`` is the slice's mean item score minus that of the other items; ``p_value`` is corrected over all
    slices.
    """

    name: str
    n: int
    difference: float
    low: float
    high: float
    p_value: float


class Reliability(Schema):
    """Answers of like probability: how many, their mean probability (``confidence``), and their mean score."""

    n: int
    confidence: float
    score: float


class EvaluateArtifact(Artifact):
    """What the evaluate stage leaves.

    Files: ``items.parquet``, one row per item in the split's order: ``id, cluster, near_train, slices, prompt,
    reference, prediction, answer, finish_reason, prompt_tokens, completion_tokens`` and one ``score.<metric>`` column
    (per-item score) each; ``answer`` is the prediction without its reasoning, as it was scored. ``slices`` holds each
    metric on each kind of item that was found: ``clean`` and ``near_train``, by length, turns, expected answer,
    language and topic; ``weak`` are those that are worse than the rest.
    ``measures`` are figures of the model's probabilities, absent of subjects that do not tell them; ``reliability``
    are the bins of the calibration error, from the least probable answers to the most probable.
    Of a harness task ``data_digest`` is that of its documents and prompts, there are no slices, and tokens are not
    counted.
    """

    name: str
    subject: Subject
    split: Split
    n: int
    data_digest: str
    scores: dict[str, Score]
    slices: dict[str, dict[str, Score]]
    confusions: tuple[Confusion, ...]
    truncated: int
    prompt_tokens: int
    completion_tokens: int
    engine: str
    weak: tuple[WeakSlice, ...] = ()
    measures: dict[str, Score] = {}
    reliability: tuple[Reliability, ...] = ()
    items: RelativePath = "items.parquet"


class RetentionSpec(Schema):
    """A task of the base that must survive: the metric, and how much of the score may be lost.

    ``margin`` null: measured before and after, and nothing hangs on it.
    """

    name: Slug
    metric: MetricSpec
    margin: Annotated[float | None, Field(ge=0.0, le=1.0)]
