"""The one run description: a YAML file is validated into a `RunSpec`, once."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, JsonValue, field_validator, model_validator

from schemas.base import NotFingerprinted, Schema, Seed, Slug
from schemas.base_model import TokenizerSpec
from schemas.bias import FIGURES, BiasProbe
from schemas.data import DataOptions
from schemas.evaluate import EndpointSubject, GenerationConfig, HarnessOptions, MetricSpec
from schemas.judge import JudgeSpec
from schemas.methods import METHODS
from schemas.optimize import VariantSpec
from schemas.placement import HardwareSpec
from schemas.plan import Constraints, Task
from schemas.preflight import PreflightOptions
from schemas.register import GateOptions
from schemas.scoring import check_scoring
from schemas.serve import Engine, EngineOptions, ParityOptions
from schemas.train import TrainSpec

TRAINED = ("adapter", "model")
"""What training leaves, where a variant may be named: an adapter, or with ``train.adapter: full`` a whole model."""


class DataSpec(DataOptions):
    """`data:` of a run description: paths (or a Hub id, then with a ``revision``) and how to read them."""

    path: Annotated[str, NotFingerprinted()]
    revision: Annotated[str | None, NotFingerprinted()] = None
    validation_path: Annotated[str | None, NotFingerprinted()] = None
    test_path: Annotated[str | None, NotFingerprinted()] = None


class InitSpec(Schema):
    """A base without weights: an architecture, and a tokenizer trained on the data or taken from a folder or Hub id."""

    model_type: Literal["llama", "qwen3", "qwen2", "mistral"] = "llama"
    config: dict[str, JsonValue] = {}
    tokenizer: TokenizerSpec | str = TokenizerSpec()
    chat_template: str | None = None


class BaseModelSpec(Schema):
    """`base_model:`: a folder, a Hub id, ``hone:tiny`` (the embedded base), a registered version (``name@champion``,
    ``name@3``), or ``init`` for a base without weights. A plain string is the ``name``.
    """

    name: str | None = None
    revision: str | None = None
    trust_remote_code: bool = False
    init: InitSpec | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _one_source(self) -> BaseModelSpec:
        if (self.name is None) == (self.init is None):
            raise ValueError("give either a model's name (folder, Hub id, version) or init")
        return self

    @model_validator(mode="after")
    def _init_reads_it(self) -> BaseModelSpec:
        if self.init is not None and self.trust_remote_code:
            raise ValueError("init runs no remote code; remove trust_remote_code")
        if self.init is not None and self.revision is not None and isinstance(self.init.tokenizer, TokenizerSpec):
            raise ValueError("init has no revision unless its tokenizer is one of the Hub; remove revision")
        return self


class Baselines(Schema):
    """What the tuned model is compared with; the gate takes the best.

    ``tfidf`` (TF-IDF and logistic regression) null: for classification, and for extraction scored as JSON.
    """

    base: bool = True
    instruction: str | None = None
    few_shot: Annotated[int, Field(ge=0)] = 3
    champion: bool = True
    tfidf: bool | None = None
    endpoint: EndpointSubject | None = None


class RetentionTask(Schema):
    """An own task of the base: its data, its metric, and the most that its score may fall."""

    name: Slug
    data: DataSpec
    metric: MetricSpec = MetricSpec(name="exact_match")
    margin: Annotated[float, Field(ge=0.0, le=1.0)] = 0.03

    @field_validator("metric", mode="before")
    @classmethod
    def _metric_name(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value


class HarnessTask(HarnessOptions):
    """A task of lm-evaluation-harness that the base and what is served are measured on.

    ``task`` is a YAML file (``./tasks/mine.yaml``) or the name of one of lm_eval's own. With a ``margin`` the gate
    holds the model to it as to a retention task; without, it is reported.
    """

    name: Slug
    task: Annotated[str, NotFingerprinted()]
    margin: Annotated[float | None, Field(ge=0.0, le=1.0)] = None


class EvaluateSpec(Schema):
    """`evaluate:`: the first metric is the primary one; ``target`` names values to reach. ``measures`` are shown.

    ``retention`` null takes the task of the base's own run where it has one; ``retention_waived`` is the reason in so
    many words where forgetting is not to be measured. ``harness`` names tasks of lm-evaluation-harness.
    ``judge`` lets a language model compare what is served with the best baseline, and with the champion. ``bias`` names
    probes of bias and safety that the base and what is served are measured by.
    """

    metrics: tuple[MetricSpec, ...] = ()
    measures: tuple[MetricSpec, ...] = ()
    target: dict[str, Annotated[float, Field(ge=0.0, le=1.0)]] = {}
    baselines: Baselines = Baselines()
    generation: GenerationConfig = GenerationConfig()
    max_items: Annotated[int, Field(gt=0)] | None = None
    retention: tuple[RetentionTask, ...] | None = None
    retention_waived: str | None = None
    harness: tuple[HarnessTask, ...] = ()
    judge: JudgeSpec | None = None
    bias: tuple[BiasProbe, ...] = ()
    seed: Seed = 0

    @field_validator("retention_waived")
    @classmethod
    def _reason(cls, value: str | None) -> str | None:
        if value is not None and not any(letter.isalnum() for letter in value):
            raise ValueError("no reason is given; write why forgetting does not matter, or leave the key out")
        return value

    @field_validator("metrics", "measures", mode="before")
    @classmethod
    def _metric_names(cls, value: Any) -> Any:
        if isinstance(value, (list, tuple)):
            return [{"name": item} if isinstance(item, str) else item for item in value]
        return value


class ServeSpec(Schema):
    """`serve:`: which variant is served (``adapter``, or one of ``variants``) and how its parity is measured."""

    variant: str | None = None
    engine: Engine = "vllm"
    options: EngineOptions = EngineOptions()
    parity: ParityOptions = ParityOptions()


class PreflightSpec(PreflightOptions):
    """`preflight:`: what is silenced, the declared languages, and files of public benchmark items to keep out."""

    benchmarks: Annotated[tuple[str, ...], NotFingerprinted()] = ()


Promote = Literal["champion", "candidate"]
"""What a version becomes that passes its gate: it takes traffic, or waits for a rollout (docs/gateway.md) to decide."""


class RunSpec(Schema):
    """A whole run.

    ``task`` decides the default metrics and baselines; ``description`` says what the model is to do: it goes into cards
    and reports, and is the instruction of untuned baselines where ``evaluate.baselines.instruction`` gives none.
    ``hardware`` says where a runner that has a choice makes its calls, ``promote`` what a version becomes that passes
    its gate; neither changes anything in what is made.
    """

    name: Slug
    task: Task
    description: str = ""
    base_model: BaseModelSpec
    data: DataSpec
    preflight: PreflightSpec = PreflightSpec()
    train: TrainSpec = TrainSpec()
    evaluate: EvaluateSpec = EvaluateSpec()
    variants: tuple[VariantSpec, ...] = ()
    serve: ServeSpec | Literal[False] = ServeSpec()
    gate: GateOptions = GateOptions()
    constraints: Constraints = Constraints()
    hardware: Annotated[HardwareSpec, NotFingerprinted()] = HardwareSpec()
    promote: Annotated[Promote, NotFingerprinted()] = "champion"

    @field_validator("serve", mode="before")
    @classmethod
    def _true_is_as_usual(cls, value: Any) -> Any:
        return {} if value is True else value

    @property
    def ranks(self) -> bool:
        """Whether the model is asked which of two answers is better, and for none of its own."""
        return METHODS[self.train.method].scores

    @model_validator(mode="after")
    def _what_scores_is_asked_for_no_answers(self) -> RunSpec:
        check_scoring(self)
        return self

    @model_validator(mode="after")
    def _probabilities_are_told(self) -> RunSpec:
        evaluate = self.evaluate
        if evaluate.measures and evaluate.generation.backend == "vllm" and self.train.adapter != "full":
            raise ValueError(
                "evaluate.measures: vLLM does not compute an adapter's likelihoods; set evaluate.generation.backend to "
                "transformers"
            )
        return self

    @model_validator(mode="after")
    def _names_are_unique(self) -> RunSpec:
        named = {
            "variants": [variant.name for variant in self.variants],
            "evaluate.retention": [task.name for task in self.evaluate.retention or ()],
            "evaluate.harness": [
                *(task.name for task in self.evaluate.retention or ()),
                *(task.name for task in self.evaluate.harness),
            ],
            "evaluate.bias": [probe.name for probe in self.evaluate.bias],
            "train.seeds": [str(seed) for seed in self.train.seeds],
        }
        for key, names in named.items():
            if twice := sorted({name for name in names if names.count(name) > 1}):
                raise ValueError(f"{key}: two have the same name, {twice[0]}; give each its own")
        return self

    @model_validator(mode="after")
    def _variants_are_called_what_they_are(self) -> RunSpec:
        for variant in self.variants:
            if variant.name in TRAINED:
                raise ValueError(f"variants.{variant.name}: this is what training leaves; choose another name")
            if variant.name == "merged" and variant.backend != "merge":
                raise ValueError("variants.merged: only the merge is called so; choose another name")
        return self

    @model_validator(mode="after")
    def _served_variant_exists(self) -> RunSpec:
        if self.serve is not False and self.serve.variant is not None:
            known = ["model" if self.train.adapter == "full" else "adapter", *(made.name for made in self.variants)]
            if self.serve.variant not in known:
                raise ValueError(f"serve.variant {self.serve.variant!r} is not one of {', '.join(known)}")
        return self

    @model_validator(mode="after")
    def _who_is_to_judge_is_named(self) -> RunSpec:
        if self.gate.minimum_win_rate is not None and self.evaluate.judge is None:
            raise ValueError("gate.minimum_win_rate: nobody judges; describe the judge in evaluate.judge")
        judge, asked = self.evaluate.judge, self.evaluate.baselines
        has_weights = self.base_model.init is None
        some = (
            asked.champion,
            asked.endpoint is not None,
            asked.tfidf if asked.tfidf is not None else self.task != "generation",
            has_weights and (asked.base or asked.few_shot > 0),
        )
        if judge is not None and judge.labels is None and not any(some):
            raise ValueError("evaluate.judge: there is no baseline whose answers it could compare with the model's")
        return self

    @model_validator(mode="after")
    def _what_is_bounded_is_measured(self) -> RunSpec:
        known = {
            f"{probe.name}.{name}": kind for probe in self.evaluate.bias for name, kind in FIGURES[probe.kind].items()
        }
        for name, bound in self.gate.bias.items():
            if name not in known:
                measured = f"; measured: {', '.join(known)}" if known else ""
                raise ValueError(f"gate.bias.{name}: no probe of evaluate.bias measures this{measured}")
            if known[name].side == "around 50%" and bound < 0.5:
                raise ValueError(f"gate.bias.{name}: 0.5 is no preference, so a bound is 0.5 or more")
        return self

    @property
    def served_variant(self) -> str:
        """Which form is served: as asked, else the merged model, else what training leaves."""
        if self.serve is not False and self.serve.variant is not None:
            return self.serve.variant
        merged = next((variant.name for variant in self.variants if variant.backend == "merge"), None)
        return merged or ("model" if self.train.adapter == "full" else "adapter")

    @model_validator(mode="after")
    def _likelihoods_can_be_computed(self) -> RunSpec:
        if self.evaluate.generation.backend == "vllm" and self.served_variant == "adapter":
            for probe in self.evaluate.bias:
                if probe.by_likelihood:
                    raise ValueError(
                        f"evaluate.bias.{probe.name}: vLLM computes no likelihoods of an adapter; set "
                        "evaluate.generation.backend to transformers, or add merged to variants"
                    )
        return self

    @model_validator(mode="after")
    def _the_engine_loads_what_is_served(self) -> RunSpec:
        if self.serve is False or self.serve.engine == "vllm":
            return self
        for variant in self.variants:
            if variant.only_vllm and variant.name == self.serve.variant:
                raise ValueError(
                    f"serve.engine: {self.serve.engine} does not load {variant.name} ({variant.scheme}); "
                    "use vllm, or serve another variant"
                )
        return self

    @model_validator(mode="after")
    def _the_harness_loads_what_is_served(self) -> RunSpec:
        if self.evaluate.harness and self.base_model.init is not None:
            raise ValueError("evaluate.harness: a base without weights cannot be asked; remove the tasks")
        if not self.evaluate.harness or self.serve is False:
            return self
        for variant in self.variants:
            if variant.only_vllm and variant.name == self.serve.variant:
                raise ValueError(
                    f"evaluate.harness: it asks by transformers, which does not load {variant.name} "
                    f"({variant.scheme}); serve another variant, or remove the tasks"
                )
        return self

    @model_validator(mode="after")
    def _a_base_without_weights_answers_nothing(self) -> RunSpec:
        asked = self.evaluate.baselines
        if self.base_model.init is None:
            return self
        for name in ("base", "few_shot") if asked.endpoint is not None else ("base", "few_shot", "instruction"):
            if getattr(asked, name) != Baselines.model_fields[name].default:
                raise ValueError(f"evaluate.baselines.{name}: a base without weights cannot be asked; remove the key")
        return self
