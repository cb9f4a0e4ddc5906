"""The train stage: its options under the names of TRL, PEFT and transformers, and the model it leaves."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from schemas.adapter_options import (
    AdapterOptions,
    BoftOptions,
    Ia3Options,
    LnTuningOptions,
    LohaOptions,
    LokrOptions,
    OftOptions,
    VeraOptions,
)
from schemas.adapters import LORAS, OTHERS, AdapterName
from schemas.artifacts import Artifact, Inputs, Stored
from schemas.base import Digest, NotFingerprinted, RelativePath, Schema, Seed
from schemas.base_model import BaseModelRef
from schemas.data import DataArtifact
from schemas.distillation import GkdOptions, SeqKdOptions, TaughtReport
from schemas.distributed import DistributedOptions, Strategy
from schemas.faults import FaultCode
from schemas.lora import LoraOptions, LoraSettings, LoraSpec
from schemas.methods import METHODS, TrainMethod
from schemas.metric import RewardSpec
from schemas.preference import CpoOptions, DpoOptions, KtoOptions, OrpoOptions, RewardOptions, SimpoOptions
from schemas.render import RenderOptions, RenderReport
from schemas.retention import LowerRate, Replay, RetentionMethods, check_methods, reads_base_rows
from schemas.rl import GrpoOptions, PpoOptions, RewardGuards, RewardReport, RlooOptions, RolloutOptions

AdapterKind = Literal["lora", "qlora", "full"]
"""How a base is held while it is trained: frozen, frozen in 4 bits, or trained itself."""

Positive = Annotated[int, Field(gt=0)]
Rate = Annotated[float, Field(gt=0.0)]


class TrainOptions(RenderOptions):
    """What neither the plan nor the run decides."""

    method: TrainMethod = "sft"
    adapter: AdapterName = "lora"
    ia3: Ia3Options = Ia3Options()
    vera: VeraOptions = VeraOptions()
    loha: LohaOptions = LohaOptions()
    lokr: LokrOptions = LokrOptions()
    oft: OftOptions = OftOptions()
    boft: BoftOptions = BoftOptions()
    ln_tuning: LnTuningOptions = LnTuningOptions()
    dpo: DpoOptions = DpoOptions()
    kto: KtoOptions = KtoOptions()
    orpo: OrpoOptions = OrpoOptions()
    cpo: CpoOptions = CpoOptions()
    simpo: SimpoOptions = SimpoOptions()
    reward: RewardOptions = RewardOptions()
    gkd: GkdOptions = GkdOptions()
    seq_kd: SeqKdOptions = SeqKdOptions()
    grpo: GrpoOptions = GrpoOptions()
    rloo: RlooOptions = RlooOptions()
    ppo: PpoOptions = PpoOptions()
    rewards: tuple[RewardSpec, ...] = ()
    guards: RewardGuards = RewardGuards()
    lr_scheduler_type: Literal["linear", "cosine", "constant", "constant_with_warmup"] = "cosine"
    warmup_ratio: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.03
    weight_decay: Annotated[float, Field(ge=0.0)] = 0.0
    max_grad_norm: Rate = 1.0
    max_steps: Positive | None = None
    neftune_noise_alpha: Rate | None = None
    packing: bool = False
    gradient_checkpointing: bool = False
    bf16: bool | Literal["auto"] = "auto"
    eval_steps: Positive | None = None
    save_steps: Positive | None = None
    early_stopping_patience: Positive | None = None
    retention: RetentionMethods = ()
    distributed: Annotated[DistributedOptions | None, NotFingerprinted()] = None

    @property
    def holds_base(self) -> AdapterKind:
        """How the base is held: any adapter but QLoRA leaves it frozen as it is."""
        return "qlora" if self.adapter == "qlora" else "full" if self.adapter == "full" else "lora"

    @property
    def other(self) -> AdapterOptions | None:
        """The options of an adapter that is no LoRA; None for a LoRA and for full training."""
        return getattr(self, self.adapter) if self.adapter in OTHERS else None

    @property
    def replay(self) -> Replay | None:
        """What is replayed of the base's own tasks."""
        return next((method for method in self.retention if isinstance(method, Replay)), None)

    @property
    def rollout(self) -> RolloutOptions | None:
        """How answers are drawn, where the method learns from their rewards."""
        return getattr(self, self.method) if METHODS[self.method].rewarded else None

    @property
    def compares_with_base(self) -> bool:
        """Whether the base as it was is asked beside the model."""
        rollout = self.rollout
        return METHODS[self.method].reference and (rollout is None or rollout.held_to_base)

    @property
    def reads_base_rows(self) -> bool:
        """Whether training reads rows of the base's own tasks."""
        return any(map(reads_base_rows, self.retention))

    @model_validator(mode="after")
    def _options_are_those_of_the_adapter(self) -> TrainOptions:
        for kind in OTHERS:
            if kind != self.adapter and getattr(self, kind) != type(self).model_fields[kind].default:
                raise ValueError(f"{kind}: these are options of adapter: {kind}, and adapter is {self.adapter}")
        return self

    @model_validator(mode="after")
    def _losses_exclude_each_other(self) -> TrainOptions:
        if self.completion_only_loss and self.assistant_only_loss:
            raise ValueError("completion_only_loss and assistant_only_loss exclude each other; set one to false")
        return self

    @model_validator(mode="after")
    def _method_fits(self) -> TrainOptions:
        if self.packing and self.method != "sft":
            raise ValueError(f"packing joins rows of sft; rows of {self.method} stay apart: set packing to false")
        if self.method == "kto" and self.distributed is not None:
            raise ValueError("kto compares the answers of a batch with each other: leave distributed out")
        if self.method == "dpo" and self.dpo.precompute_ref_log_probs and self.distributed is not None:
            raise ValueError("precompute_ref_log_probs asks the reference in one process: leave distributed out")
        return self

    @model_validator(mode="after")
    def _scores_fit(self) -> TrainOptions:
        if not METHODS[self.method].scores:
            return self
        kept = [method.method for method in self.retention if not isinstance(method, LowerRate)]
        if kept:
            raise ValueError(f"{self.method} leaves a model that answers nothing, so {kept[0]} has nothing to retain")
        if self.distributed is not None:
            raise ValueError(f"{self.method} trains in one process: leave distributed out")
        return self

    @model_validator(mode="after")
    def _teacher_fits(self) -> TrainOptions:
        for name, method in METHODS.items():
            if method.teacher and name != self.method and getattr(self, name).teacher is not None:
                raise ValueError(f"{name}.teacher: this is who {name} learns from, and method is {self.method}")
        if not METHODS[self.method].teacher:
            return self
        if self.distributed is not None:
            raise ValueError(f"{self.method} asks its teacher in one process: leave distributed out")
        sampled = self.method == "seq_kd" and self.seq_kd.num_generations > 1
        if sampled and not self.rewards:
            raise ValueError("seq_kd takes the first answer where nothing rewards them: name rewards, or draw one")
        if sampled and self.seq_kd.temperature == 0.0:
            raise ValueError("seq_kd: at temperature 0 all answers are alike: raise it, or draw one")
        return self

    @model_validator(mode="after")
    def _rewards_fit(self) -> TrainOptions:
        if not METHODS[self.method].rewarded:
            if self.rewards and self.method != "seq_kd":
                known = " or ".join(name for name, method in METHODS.items() if method.rewarded)
                raise ValueError(f"{self.method} learns from no rewards: set method to {known}, or remove rewards")
            return self
        if not self.rewards:
            raise ValueError(f"{self.method} learns from rewards: name metrics in rewards, such as [exact_match]")
        names = [reward.name for reward in self.rewards]
        if len(set(names)) < len(names):
            raise ValueError("rewards: each metric once, with its weight")
        if not self.completion_only_loss:
            raise ValueError(f"{self.method} answers the last turn of a row: leave completion_only_loss true")
        if self.distributed is not None:
            raise ValueError(f"{self.method} draws its answers in one process: leave distributed out")
        return self

    @model_validator(mode="after")
    def _shards_hold_this(self) -> TrainOptions:
        if self.adapter == "qlora" and self.distributed is not None and self.distributed.shards_weights:
            raise ValueError("distributed: 4-bit weights are not sharded; with qlora write strategy: ddp or zero2")
        return self


def check_retention(train: TrainOptions, lora: LoraOptions | None) -> None:
    """Refuse retention methods that do not fit each other or the adapter.

    Raises:
        ValueError: they do not.
    """
    plain = train.other is None and (lora is None or lora.is_plain)
    one_rank = lora is None or not lora.rank_pattern
    check_methods(train.retention, train.adapter, plain_lora=plain, one_rank=one_rank)


def check_groups(train: TrainOptions, rows: int) -> None:
    """Refuse a step of ``rows`` answers that does not hold every answer to each of its prompts.

    Raises:
        ValueError: it does not.
    """
    answers = 1 if train.rollout is None else train.rollout.answers
    if rows % answers:
        raise ValueError(
            f"a step has {rows} answers, which are no whole groups of {answers}: make per_device_train_batch_size "
            f"times gradient_accumulation_steps a multiple of {train.method}.num_generations"
        )


class TrainSpec(TrainOptions):
    """`train:` of a run description.

    A key left out that the plan decides is null here; the report shows who chose it.
    """

    lora: LoraSpec = LoraSpec()
    learning_rate: Rate | None = None
    num_train_epochs: Rate | None = None
    per_device_train_batch_size: Positive | None = None
    gradient_accumulation_steps: Positive | None = None
    max_length: Positive | None = None
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1)] = (0,)

    @model_validator(mode="after")
    def _teacher_is_named(self) -> TrainSpec:
        if METHODS[self.method].teacher and self.teacher is None:
            raise ValueError(f"{self.method} learns from a teacher: name it in train.{self.method}.teacher")
        return self

    @property
    def teacher(self) -> str | None:
        """The model that is learned from, as the description names it."""
        return getattr(self, self.method).teacher if METHODS[self.method].teacher else None

    @model_validator(mode="after")
    def _methods_fit(self) -> TrainSpec:
        check_retention(self, self.lora if self.adapter in LORAS else None)
        if self.per_device_train_batch_size is not None and self.gradient_accumulation_steps is not None:
            check_groups(self, self.per_device_train_batch_size * self.gradient_accumulation_steps)
        return self

    @field_validator("seeds", mode="before")
    @classmethod
    def _seeds_are_listed(cls, value: Any) -> Any:
        if isinstance(value, int):
            raise ValueError("a list of seeds, each trained once: [0], or [0, 1, 2] for three")
        return value


class TrainConfig(TrainOptions):
    """Config of the train stage: one seed, every number decided. ``ignore`` are faults of rendering to let pass."""

    base: BaseModelRef
    lora: LoraSettings | None
    learning_rate: Rate
    num_train_epochs: Rate
    per_device_train_batch_size: Positive
    gradient_accumulation_steps: Positive
    max_length: Positive
    seed: int
    teacher: BaseModelRef | None = None
    ignore: Annotated[tuple[FaultCode, ...], NotFingerprinted()] = ()

    @model_validator(mode="after")
    def _batch_compares(self) -> TrainConfig:
        if self.method == "kto" and self.kto.loss_type == "kto" and self.per_device_train_batch_size < 2:
            raise ValueError("kto compares the answers of a batch: set per_device_train_batch_size to 2 or more")
        return self

    @model_validator(mode="after")
    def _teacher_is_given(self) -> TrainConfig:
        if METHODS[self.method].teacher and self.teacher is None:
            raise ValueError(f"{self.method} learns from a teacher: name it in train.{self.method}.teacher")
        return self

    @model_validator(mode="after")
    def _groups_are_whole(self) -> TrainConfig:
        check_groups(self, self.per_device_train_batch_size * self.gradient_accumulation_steps)
        return self

    @model_validator(mode="after")
    def _adapter_fits(self) -> TrainConfig:
        if (self.lora is not None) != (self.adapter in LORAS):
            raise ValueError("lora settings belong to adapter lora or qlora, and only there")
        if self.base.init is not None and self.adapter != "full":
            raise ValueError("a base without weights can only be trained with adapter: full")
        check_retention(self, self.lora)
        return self


class TrainInputs(Inputs):
    """``replay`` maps a retention task's name to its data, where `train.retention` reads rows of the base's tasks."""

    data: Stored[DataArtifact]
    replay: dict[str, Stored[DataArtifact]] = {}


class Recovery(Schema):
    """One automatic repair during training: a rollback with a smaller rate, or a halved micro-batch."""

    step: int
    kind: Literal["divergence", "out_of_memory"]
    action: str


class TrainArtifact(Artifact):
    """What the train stage leaves.

    Files: ``model/`` (adapter or full model, with tokenizer and chat template), ``log.jsonl`` (one line per logged
    step: step, loss, learning rate, evaluation loss; no clock). Losses are mean negative log-likelihood per trained
    token, in nats; of a method that learns from rewards they are its own, ``eval_loss`` is minus the mean reward of
    greedy answers to the validation rows, and ``rewards`` says how its answers changed. A step is ``accumulation``
    batches of ``micro_batch`` rows, dealt to ``processes``; ``strategy`` is how several share the work. ``penalty`` is
    that of the retention methods at the last step; ``interpolation`` is the part of the change that was kept after
    training. ``teacher`` is the model that was learned from, ``taught`` says what it answered.
    """

    kind: Literal["adapter", "full"]
    model: RelativePath = "model"
    base: BaseModelRef
    method: TrainMethod
    seed: int
    parameters: int
    trainable_parameters: int
    steps: int
    epochs: float
    rendered: RenderReport
    replay_rows: dict[str, int]
    penalty: float | None = None
    interpolation: float | None = None
    train_loss: float
    eval_loss: float | None
    best_step: int | None
    stopped_early: bool
    micro_batch: int
    accumulation: int
    dtype: Literal["float32", "bfloat16"]
    processes: int = 1
    strategy: Strategy | None = None
    recoveries: tuple[Recovery, ...] = ()
    rewards: RewardReport | None = None
    teacher: BaseModelRef | None = None
    taught: TaughtReport | None = None
    template_digest: str
    tokenizer_digest: Digest
