"""The plan itself: from what is known about base, rows and wishes to decisions, costs and what could be shown."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from pipeline.plan.adapter import lora_parameters, not_servable, not_served
from pipeline.plan.adapter_size import other_parameters
from pipeline.plan.architecture import Architecture
from pipeline.plan.decisions import (
    Situation,
    decide_batch,
    decide_epochs,
    decide_learning_rate,
    decide_max_length,
    decide_rank,
    effective_batch,
    lora_settings,
)
from pipeline.plan.gate_power import MOST_ROWS, SimulatedGate, estimate_gate
from pipeline.plan.hardware import Choice, choose, largest_batch, on_gpu
from pipeline.plan.inference import inference_needs
from pipeline.plan.memory import Footprint, estimate_memory, local_memory
from pipeline.plan.power import APPROXIMATED, estimate_power
from pipeline.plan.prices import PRICES_DATED, gpu_named
from pipeline.plan.profile import Lengths
from pipeline.plan.throughput import PADDING, Work, assumptions, cpu_seconds
from schemas.lora import LoraSettings, changes_base
from schemas.methods import METHODS
from schemas.plan import (
    Constraints,
    GateWishes,
    InferenceNeeds,
    MemoryEstimate,
    PlanArtifact,
    PowerEstimate,
    Reasoned,
    Task,
    TrainingDecisions,
)
from schemas.schemes import Scheme
from schemas.train import TrainSpec

FEW_ROWS = 100

SCORES = "a reward model scores answers and gives none, so it cannot be served as chat"
"""Why nobody serves what a method leaves that scores answers."""


@dataclass(frozen=True)
class Request:
    """What a plan is drawn up for.

    ``train_rows`` and ``test_rows`` after splitting. ``target`` and ``baseline`` are scores by the primary metric, if
    known. ``notes`` are warnings that whoever gathered this has already. ``variants`` are schemes by name,
    ``served`` is the form that is served.
    """

    task: Task
    architecture: Architecture
    from_scratch: bool
    train: TrainSpec
    lengths: Lengths
    rows: int
    train_rows: int
    test_rows: int
    evaluations: int
    variants: Mapping[str, Scheme]
    constraints: Constraints
    target: float | None
    baseline: float | None
    alpha: float
    power: float
    served: str | None = None
    gate: GateWishes = field(default_factory=GateWishes)
    notes: tuple[str, ...] = ()

    @property
    def situation(self) -> Situation:
        """Return what decisions are made from."""
        return Situation(
            task=self.task,
            train_rows=self.train_rows,
            parameters=self.architecture.parameters,
            from_scratch=self.from_scratch,
            context=self.architecture.context,
            p99_tokens=self.lengths.p99,
            longest_tokens=self.lengths.longest,
            sampled=self.lengths.sampled,
            measured=self.lengths.by == "tokenizer",
        )


def draw_up(request: Request) -> PlanArtifact:
    """Return the plan; the same request always gives the same plan."""
    train, situation = request.train, request.situation
    reasons = {
        "method": Reasoned(value=train.method, chosen_by="spec", reason="the run description says so (train.method)"),
        **decide_rank(train, situation),
        "learning_rate": decide_learning_rate(train, situation),
        "num_train_epochs": decide_epochs(train, situation),
        "max_length": decide_max_length(train, situation),
    }
    lora = lora_settings(train, reasons)
    epochs, length = float(reasons["num_train_epochs"].value), int(reasons["max_length"].value)
    batch, why = effective_batch(train, situation, epochs)
    footprint = _footprint(request, lora, length)
    work = _work(request, footprint, batch, epochs)
    choice = choose(footprint, work, request.constraints)
    fitting = largest_batch(footprint, choice.recommended, batch) if choice.recommended is not None else 1
    reasons |= decide_batch(train, batch, why, fitting)
    decisions = _decisions(train, reasons)
    servable = _unservable(train, lora)
    power = _power(request)
    return PlanArtifact(
        decisions=decisions,
        reasons=reasons,
        profile=request.lengths.profile(request.rows),
        parameters=request.architecture.parameters,
        trainable_parameters=footprint.trainable,
        training_tokens=work.training_tokens,
        steps=work.steps,
        memory=_memory(replace(footprint, batch=decisions.per_device_train_batch_size), choice),
        hardware=choice.options,
        recommended_gpu=choice.recommended.gpu if choice.recommended is not None else None,
        inference=_inference(request, footprint),
        prices_dated=PRICES_DATED,
        assumptions=(*assumptions(work), *(() if power.exact else (APPROXIMATED,))),
        local_cpu_seconds=round(cpu_seconds(work), 1),
        local_memory_bytes=local_memory(replace(footprint, batch=decisions.per_device_train_batch_size)),
        over_budget=choice.broken if choice.recommended is not None else (),
        servable_by_vllm=not servable,
        unservable=tuple(servable),
        power=power,
        warnings=(*request.notes, *_warnings(request, choice, servable, power)),
        feasible=choice.recommended is not None and not choice.broken,
    )


def _unservable(train: TrainSpec, lora: LoraSettings | None) -> list[str]:
    if METHODS[train.method].scores:
        return [SCORES]
    return not_servable(lora) if lora is not None else not_served(train)


def _power(request: Request) -> PowerEstimate:
    """Return what the paired test shows, and the whole gate where it can be simulated."""
    found = estimate_power(
        request.test_rows, alpha=request.alpha, power=request.power, target=request.target, baseline=request.baseline
    )
    if not found.exact:
        return found
    target, baseline = request.target, found.assumed_baseline
    gate = SimulatedGate.of(request.gate, request.variants, request.served, request.alpha, target)
    gain = None if target is None else target - baseline
    simulated = estimate_gate(gate, rows=request.test_rows, baseline=baseline, gain=gain, power=request.power)
    return found.model_copy(update={"gate": simulated})


def _footprint(request: Request, lora: LoraSettings | None, length: int) -> Footprint:
    """Return the memory's shape with the least batch that may be used."""
    train, architecture = request.train, request.architecture
    method = METHODS[train.method]
    return Footprint(
        architecture=architecture,
        adapter=train.holds_base,
        trainable=_trainable(train, architecture, lora),
        length=length if train.rollout is None else min(architecture.context, length + _room(train)),
        batch=train.per_device_train_batch_size or 1,
        gradient_checkpointing=train.gradient_checkpointing,
        bf16=train.bf16 is not False,
        sequences=method.sequences,
        reference=train.compares_with_base and (train.adapter == "full" or changes_base(lora)),
    )


def _trainable(train: TrainSpec, architecture: Architecture, lora: LoraSettings | None) -> int:
    if lora is not None:
        return lora_parameters(architecture, lora)
    return architecture.parameters if train.other is None else other_parameters(architecture, train.other)


def _inference(request: Request, footprint: Footprint) -> InferenceNeeds:
    return inference_needs(
        request.architecture,
        adapter=footprint.adapter,
        trainable=footprint.trainable,
        variants=request.variants,
        served=request.served,
        length=footprint.length,
    )


def _work(request: Request, footprint: Footprint, batch: int, epochs: float) -> Work:
    """Return the run's size. Replay adds its share of rows; packing fills each row of a batch."""
    train, lengths = request.train, request.lengths
    rows = request.train_rows / (1 - train.replay.share) if train.replay is not None else float(request.train_rows)
    length = min(lengths.mean, footprint.length)
    per_step = float(batch)
    if train.packing and length > 0:
        per_step *= footprint.length / length
    passes = 1 if train.rollout is None else train.rollout.passes
    if train.rollout is not None:  # a step counts answers, and every prompt has several
        rows *= train.rollout.answers
        length = min(length + _room(train), footprint.length)
    steps = max(1, math.ceil(rows * epochs / per_step)) * passes
    if train.max_steps is not None:
        steps = min(steps, train.max_steps)
    tokens = min(rows * epochs * passes, steps * per_step) * length
    return Work(
        architecture=request.architecture,
        adapter=train.holds_base,
        trainable=footprint.trainable,
        training_tokens=round(tokens),
        steps=steps,
        mean_length=length,
        gradient_checkpointing=train.gradient_checkpointing,
        seeds=len(train.seeds),
        reference=train.compares_with_base,
        drawn_tokens=0 if train.rollout is None else round(tokens / passes),
        evaluations=request.evaluations,
        answered_tokens=round(request.test_rows * length),
        variants=len(request.variants),
        padding=1.0 if train.packing or train.per_device_train_batch_size == 1 else PADDING,
    )


def _room(train: TrainSpec) -> int:
    """Return how many tokens an answer that is drawn may have; none where none is drawn."""
    return 0 if train.rollout is None else train.rollout.max_completion_length


def _decisions(train: TrainSpec, reasons: dict[str, Reasoned]) -> TrainingDecisions:
    values = {key: reasoned.value for key, reasoned in reasons.items() if key != "method"}
    values.setdefault("lora_r", None)  # type: ignore[arg-type]
    values.setdefault("lora_alpha", None)  # type: ignore[arg-type]
    return TrainingDecisions.model_validate({"method": train.method, **values})


def _memory(footprint: Footprint, choice: Choice) -> MemoryEstimate:
    """Return the parts on the recommended GPUs; on one that trains in bfloat16 where nothing fits."""
    recommended = choice.recommended
    if recommended is None:
        return estimate_memory(footprint)
    return estimate_memory(on_gpu(footprint, gpu_named(recommended.gpu)), recommended.count)


def _warnings(request: Request, choice: Choice, servable: list[str], power: PowerEstimate) -> list[str]:
    found = list(choice.broken)
    if not request.architecture.exact:
        found.append(
            f"parameters of a {request.architecture.model_type or 'base of unknown type'} are counted as a Llama's"
        )
    if servable == [SCORES]:
        found.append(f"{SCORES}: it rewards the answers of another model (train.rewards: reward_model)")
    elif servable:
        remedy = "serve the merged variant" if "merged" in request.variants else "add `merged` to variants and serve it"
        found.append(f"the adapter cannot be served by vLLM: {'; '.join(servable)}: {remedy}")
    found += _teaching(request)
    lengths, most = request.lengths, request.train.max_length
    if most is not None and lengths.sampled and lengths.p95 > most:
        what = {"truncate": "are cut", "stop": "stop the run"}.get(request.train.long_rows, "are left out of training")
        found.append(f"more than one row in twenty is longer than train.max_length {most}; longer rows {what}")
    if request.train_rows < FEW_ROWS:
        found.append(f"{request.train_rows} training rows are few; expect memorizing rather than learning")
    if power.minimum_detectable_gain is None:
        found.append(f"{power.test_rows} test rows cannot show any gain at {100 * power.power:.0f}% power")
    elif power.rows_for_target is not None:
        found += _too_few(power, power.rows_for_target)
    return found


def _teaching(request: Request) -> list[str]:
    """Return the warning that a teacher is not part of the estimates, where there is one."""
    train = request.train
    if not METHODS[train.method].teacher:
        return []
    if train.method == "seq_kd":
        drawn = train.seq_kd
        count = request.train_rows * drawn.num_generations
        asked = f"before training the teacher gives {count:,} answers of up to {drawn.max_completion_length} tokens"
    else:
        asked = "the teacher is loaded beside the model"
    return [f"{asked}: its memory and time are not part of these estimates"]


def _too_few(power: PowerEstimate, needed: int) -> list[str]:
    """Return the warning that the gain to the target asks for more rows than the ``needed`` of the test alone."""
    what, share = "for", f"{100 * power.power:.0f}% power"
    if power.gate is not None:
        if power.gate.rows_for_gain is None:
            remedy = "lower gate.minimum_gain, raise the variants' non_inferiority_margin, or aim at more"
            return [f"not even {MOST_ROWS:,} test rows have the gain to the target promoted with {share}: {remedy}"]
        needed, what = power.gate.rows_for_gain, "to be promoted with"
    if power.test_rows >= needed:
        return []
    return [f"the gain to the target needs about {needed} test rows {what} {share}; there are {power.test_rows}"]
