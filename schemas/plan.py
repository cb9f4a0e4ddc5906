"""The plan stage: what the run will do, on what, for how long and how much, and what it could detect."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from schemas.artifacts import Artifact, Inputs
from schemas.base import RelativePath, Schema
from schemas.base_model import BaseModelRef
from schemas.data import DataFiles, DataOptions
from schemas.methods import TrainMethod
from schemas.schemes import Scheme, VariantBackend
from schemas.train import Positive, Rate, TrainSpec

Task = Literal["classification", "extraction", "generation"]


class Constraints(Schema):
    """What a run may take.

    ``max_cost`` in US dollars, ``max_gpu_hours`` over all GPUs, ``max_hours`` of wall-clock training.
    """

    max_cost: Annotated[float, Field(gt=0.0)] | None = None
    max_gpu_hours: Annotated[float, Field(gt=0.0)] | None = None
    max_hours: Annotated[float, Field(gt=0.0)] | None = None


class GateWishes(Schema):
    """What of the gate the plan sizes the test split for; ``margins`` are the most that each variant may lose."""

    minimum_gain: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    require_target: bool = True
    margins: dict[str, float] = {}


class PlanConfig(Schema):
    """Config of the plan stage. ``max_items`` of the test split are evaluated, all where it is null.

    ``variants`` maps names to schemes; ``quantizers`` are their backends that have to know the base's architecture.
    ``served`` is the form that is served (a variant, ``adapter`` or ``model``), null where none is.
    """

    task: Task
    base: BaseModelRef
    files: DataFiles
    data: DataOptions
    train: TrainSpec
    variants: dict[str, Scheme]
    served: str | None = None
    quantizers: tuple[VariantBackend, ...] = ()
    evaluations: Positive
    constraints: Constraints
    target: dict[str, float]
    primary_metric: str
    max_items: Positive | None = None
    alpha: float
    power: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.8
    gate: GateWishes = GateWishes()


class PlanInputs(Inputs):
    """The plan starts from the description alone."""


class Reasoned(Schema):
    """A chosen value, who chose it, and why."""

    value: float | int | str
    chosen_by: Literal["spec", "plan"]
    reason: str


class TrainingDecisions(Schema):
    """What the train stage is called with where the spec left it open."""

    method: TrainMethod
    lora_r: Positive | None
    lora_alpha: Positive | None
    learning_rate: Rate
    num_train_epochs: Rate
    per_device_train_batch_size: Positive
    gradient_accumulation_steps: Positive
    max_length: Positive


class DataProfile(Schema):
    """A quick look at the raw file.

    Rows, and token lengths of a sample (estimated from characters where there is no tokenizer).
    """

    rows: int
    sampled: int
    mean_tokens: float
    p95_tokens: float
    max_tokens: int
    tokens_by: Literal["tokenizer", "estimate"]


class MemoryEstimate(Schema):
    """Peak bytes of training's tensors by part."""

    weights: int
    gradients: int
    optimizer: int
    activations: int
    logits: int
    total: int


class HardwareOption(Schema):
    """One GPU type: whether the run fits on ``count`` of them, wall-clock seconds and US dollars of the whole run.

    ``memory_bytes`` is what each GPU must have, with room for the allocator. Training of all seeds, evaluations and
    variants are counted.
    """

    gpu: str
    count: int
    memory_bytes: int
    fits: bool
    seconds: float
    dollars: float


class InferenceNeeds(Schema):
    """What the base and its forms take where they answer: bytes, and by how many GPUs they can be divided.

    ``form_bytes`` are the weights of each form: ``base``, what training leaves (``adapter``, its base included, or
    ``model``), and every variant by name. ``kv_bytes_per_token`` is the key-value cache in bfloat16; ``heads`` and
    ``kv_heads`` bound tensor parallelism; ``context`` is the longest sequence in tokens. ``calibration_bytes`` is what
    a quantizer holds beside the weights. ``served`` is the form that is served, null where none is.
    """

    form_bytes: dict[str, int]
    kv_bytes_per_token: int
    heads: int
    kv_heads: int
    context: int
    calibration_bytes: int
    served: str | None


class GatePower(Schema):
    """How often the whole gate promotes, over simulated ``trials``.

    ``promoted``: the share of runs in which a model whose true score is the target is promoted with the test rows that
    there are. ``rows_for_gain``: rows at which the gain to the target is promoted at the stated power; the target
    itself, which a model that just meets it misses in half of all runs, is left out; null where no number of rows does.
    ``least_score``: the least true score that is promoted at the stated power with the rows that there are, the target
    included. ``changed`` is the assumed share of items on which a variant as good as its parent differs from it.
    """

    trials: int
    changed: float
    promoted: float | None
    rows_for_gain: int | None
    least_score: float | None


class PowerEstimate(Schema):
    """What the test split can show: the least gain detected at the stated power, and rows for the target's gain.

    ``minimum_detectable_gain`` is null where not even a perfect model would be found better; ``assumed_baseline`` is
    assumed because nothing is measured before the run. Without ``exact`` both are a normal approximation. ``gate`` is
    the same for the whole gate, null where it could not be simulated and in plans of older versions.
    """

    test_rows: int
    power: float
    alpha: float
    exact: bool = True
    assumed_baseline: float
    minimum_detectable_gain: float | None
    rows_for_target: int | None
    gate: GatePower | None = None


class PlanArtifact(Artifact):
    """What the plan stage leaves. Files: ``plan.json`` (this description).

    ``hardware`` lists every GPU type; ``assumptions`` what times, dollars and memory rest on, with their error.
    ``unservable`` says why vLLM would not serve the adapter, ``over_budget`` which constraints even the recommended GPU
    breaks. ``memory`` are the tensors on a GPU,
    ``local_memory_bytes`` is the whole training process on a CPU. ``inference`` is null in plans of older versions.
    """

    decisions: TrainingDecisions
    reasons: dict[str, Reasoned]
    profile: DataProfile
    parameters: int
    trainable_parameters: int
    training_tokens: int
    steps: int
    memory: MemoryEstimate
    hardware: tuple[HardwareOption, ...]
    recommended_gpu: str | None
    inference: InferenceNeeds | None = None
    prices_dated: str
    assumptions: tuple[str, ...] = ()
    local_cpu_seconds: float
    local_memory_bytes: int = 0
    over_budget: tuple[str, ...] = ()
    servable_by_vllm: bool
    unservable: tuple[str, ...] = ()
    power: PowerEstimate
    warnings: tuple[str, ...]
    feasible: bool
    file: RelativePath = "plan.json"
