"""Where each stage call runs: its GPUs, cores, memory and time, from the plan and from what the description asks for.

- Training takes the plan's choice: the cheapest type and count that fits (`pipeline.plan.hardware.choose`, which gives
  large bases A100, H100, H200 or B200).
- Evaluation, quantization and the serve stage take the smallest GPU, or the least count of one, that holds the weights
  in their number type, the key-value cache of the run's lengths, and room (`pipeline.plan.fitting`).
- Merging, data, planning, judging, registering and orchestration run on CPUs.
- What `hardware:` says goes before all of it. On device ``cpu`` there is no GPU anywhere.

Sizes are estimates; a plan says how far they may be wrong.
"""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

from pipeline.core.errors import ConfigError
from pipeline.plan.fitting import DEARER, MOST_FALLBACKS, Load, load_of, smallest
from pipeline.plan.inference import BF16, FLOAT32
from pipeline.plan.machine import HOUR, Machine, mib
from pipeline.plan.memory import LOCAL_MEMORY_ERROR
from pipeline.plan.prices import GIB, gpu_named
from schemas.artifacts import StageCall
from schemas.base import ArtifactRef, Device, StageName
from schemas.bias import BiasConfig
from schemas.evaluate import BaseSubject, EvaluateConfig, GenerationConfig, ModelSubject
from schemas.optimize import OptimizeConfig
from schemas.placement import (
    MOST_SECONDS,
    NODE_GPUS,
    HardwareSpec,
    Placement,
    TrainHardware,
    WorkHardware,
    join_gpu,
    split_gpu,
)
from schemas.plan import PlanArtifact
from schemas.run import RunSpec, ServeSpec
from schemas.schemes import SCHEMES, Scheme
from schemas.serve import EngineOptions, ServeConfig

UNPLANNED_TRAINING, UNPLANNED = ("H100",), ("L40S",)
"""GPUs where there is no plan to size them."""

CONCURRENT = 32
"""Requests of the run's lengths that a server is to hold at once."""

CORES, MERGE_CORES = 4.0, 8.0
ROOM = 1.1
"""What a process holds beside the tensors, as a share of them."""

FLOOR, ENGINE_FLOOR = 4 * GIB, 8 * GIB
"""Memory of a process that loads a model, and of one that has an engine beside itself."""

MERGE_BYTES = 6
"""Bytes for each parameter: the model merged in float32 is saved in bfloat16 and read again while it is still there."""

ROW_COPIES, TOKEN_BYTES = 12, 4
"""Copies of the text that the data stage holds, in Python's objects; bytes of a token."""


def placement(call: StageCall, plan: PlanArtifact | None, hardware: HardwareSpec, device: Device) -> Placement:
    """Return where ``call`` runs.

    Args:
        call: a call of any stage.
        plan: the run's plan, None before it is drawn up.
        hardware: what the description asks for.
        device: ``cuda`` where GPUs are to be had.

    Raises:
        ConfigError: no GPU type holds the model, and the description names none.
    """
    match call.stage:
        case "train":
            return _training(plan, hardware.train, device)
        case "evaluate":
            asked = EvaluateConfig.model_validate(call.config)
            if not isinstance(asked.subject, (BaseSubject, ModelSubject)):
                return _without_gpu(hardware.evaluate)
            shots = asked.subject.few_shot if isinstance(asked.subject, BaseSubject) else 0
            return _evaluating(_form(call, plan), shots, asked.generation, plan, hardware.evaluate, device)
        case "optimize":
            scheme = OptimizeConfig.model_validate(call.config).variant.scheme
            return _optimizing(scheme, plan, hardware.optimize, device)
        case "serve":
            config = ServeConfig.model_validate(call.config)
            return serving(config.options, config.generation, plan, hardware.serve, device)
        case "bias":
            probed = BiasConfig.model_validate(call.config)
            return _evaluating(_form(call, plan), 0, probed.generation, plan, hardware.evaluate, device)
        case "judge":
            return _without_gpu(hardware.evaluate)
        case "plan" | "data" | "register":
            return _without_model(call.stage, plan)
        case other:
            assert_never(other)


def stage_placements(spec: RunSpec, plan: PlanArtifact | None, device: Device) -> dict[StageName, Placement]:
    """Return, for every stage, what its most demanding call takes: what a deployed function is sized by.

    Raises:
        ConfigError: no GPU type holds the model, and the description names none.
    """
    hardware, generation = spec.hardware, spec.evaluate.generation
    schemes = [variant.scheme for variant in spec.variants]
    most: Scheme = next((scheme for scheme in schemes if scheme != "merged"), "merged")
    options = (spec.serve or ServeSpec()).options
    return {
        "plan": _without_model("plan", plan),
        "data": _without_model("data", plan),
        "train": _training(plan, hardware.train, device),
        "evaluate": _evaluating(None, spec.evaluate.baselines.few_shot, generation, plan, hardware.evaluate, device),
        "optimize": _optimizing(most, plan, hardware.optimize, device),
        "bias": _evaluating(None, 0, generation, plan, hardware.evaluate, device),
        "judge": _without_gpu(hardware.evaluate),
        "serve": serving(options, generation, plan, hardware.serve, device),
        "register": _without_model("register", plan),
    }


def orchestration() -> Placement:
    """Return where the loop that makes the calls runs."""
    return Machine((), 1.0, mib(2 * GIB), MOST_SECONDS).placed()


def serving(
    options: EngineOptions,
    generation: GenerationConfig,
    plan: PlanArtifact | None,
    hardware: WorkHardware,
    device: Device,
) -> Placement:
    """Return where the served form runs, in the serve stage and as an endpoint.

    The cache holds one sequence of the length that the engine is started with (without ``max_model_len`` the base's
    whole context: vLLM does not start with less), and `CONCURRENT` of the run's lengths.

    Raises:
        ConfigError: no GPU type holds it, and the description names none.
    """
    load = None
    if plan is not None and plan.inference is not None:
        needs = plan.inference
        sequence = min(needs.context, _longest(plan) + generation.max_new_tokens)
        tokens = max(options.max_model_len or needs.context, CONCURRENT * sequence)
        load = load_of(needs, needs.served, tokens=tokens, utilization=options.gpu_memory_utilization)
    machine = _holding(load, hardware, device, "serve")
    machine = replace(machine, timeout=2 * HOUR, memory=max(machine.memory, mib(ENGINE_FLOOR)))
    return machine.asked(hardware).placed()


def _training(plan: PlanArtifact | None, hardware: TrainHardware, device: Device) -> Placement:
    if device == "cpu" or hardware.without_gpu:
        held = LOCAL_MEMORY_ERROR * plan.local_memory_bytes if plan is not None else 0
        return Machine((), CORES, mib(max(held, FLOOR)), MOST_SECONDS).asked(hardware).placed()
    gpus = hardware.gpu or (UNPLANNED_TRAINING if plan is None else _trained_on(plan))
    if hardware.nodes > 1 and hardware.gpu is None:
        names = list(dict.fromkeys(split_gpu(gpu)[0] for gpu in gpus))
        whole = tuple(join_gpu(name, NODE_GPUS) for name in names if gpu_named(name).most == NODE_GPUS)
        gpus = whole or (join_gpu(UNPLANNED_TRAINING[0], NODE_GPUS),)
    beside = _loaded_beside(plan, several=split_gpu(gpus[0])[1] * hardware.nodes > 1) if plan is not None else 0
    return Machine.with_gpus(gpus, beside, MOST_SECONDS, hardware.nodes).asked(hardware).placed()


def _trained_on(plan: PlanArtifact) -> tuple[str, ...]:
    """Return the plan's choice; its fallbacks are fitting types of the same count that make the run little dearer.

    Raises:
        ConfigError: the plan found none.
    """
    chosen = next((option for option in plan.hardware if option.gpu == plan.recommended_gpu), None)
    if chosen is None:
        raise _nothing_fits("train", "training takes more memory than eight of any GPU type have")
    large = gpu_named(chosen.gpu).for_large
    others = sorted(
        (
            option
            for option in plan.hardware
            if option.fits
            and option.gpu != chosen.gpu
            and option.count == chosen.count
            and option.dollars <= DEARER * chosen.dollars
            and (gpu_named(option.gpu).for_large or not large)
            and gpu_named(option.gpu).has_bf16 == gpu_named(chosen.gpu).has_bf16
        ),
        key=lambda option: (option.dollars, option.gpu),
    )
    return tuple(join_gpu(option.gpu, option.count) for option in (chosen, *others[:MOST_FALLBACKS]))


def _loaded_beside(plan: PlanArtifact, *, several: bool) -> float:
    """Return the host's bytes for a base that several processes load, or for what is gathered to save a whole model.

    Of several processes the first gathers the two moments of Adam in float32 for a checkpoint: the larger part.
    """
    base = BF16 * plan.parameters if several else 0
    gathered = 2 * FLOAT32 if several else FLOAT32
    whole = gathered * plan.parameters if plan.trainable_parameters == plan.parameters else 0
    return ROOM * max(base, whole)


def _evaluating(
    form: str | None,
    shots: int,
    generation: GenerationConfig,
    plan: PlanArtifact | None,
    hardware: WorkHardware,
    device: Device,
) -> Placement:
    load = None
    if plan is not None and plan.inference is not None:
        sequence = min(plan.inference.context, (1 + shots) * _longest(plan) + generation.max_new_tokens)
        load = load_of(plan.inference, form, tokens=generation.batch_size * sequence)
    return _holding(load, hardware, device, "evaluate").asked(hardware).placed()


def _without_gpu(hardware: WorkHardware) -> Placement:
    """Return where an evaluation runs that loads no model: what it waits for answers elsewhere, or fits into memory."""
    return Machine((), CORES, mib(8 * GIB), hardware.timeout or 6 * HOUR).placed()


def _form(call: StageCall, plan: PlanArtifact | None) -> str | None:
    """Return which form of the model an evaluation asks, None where its size is not in the plan."""
    if plan is None or plan.inference is None:
        return None
    forms, model = plan.inference.form_bytes, call.inputs.get("model")
    if model is None:
        return "base"
    variant = call.id.removeprefix("evaluate.variant-")
    if variant in forms:
        return variant
    if call.id.startswith(("evaluate.retention-", "bias.")):
        return plan.inference.served
    if isinstance(model, ArtifactRef) and model.stage == "train":
        return "model" if "model" in forms else "adapter"
    return None


def _optimizing(scheme: Scheme, plan: PlanArtifact | None, hardware: WorkHardware, device: Device) -> Placement:
    """Return where a variant is made: a merge on CPUs, in float32; a quantizer where parent and rows fit."""
    if scheme == "merged":
        held = MERGE_BYTES * plan.parameters if plan is not None else 0
        machine = Machine((), MERGE_CORES, mib(FLOOR + ROOM * held), 12 * HOUR)
        return machine.asked(hardware).placed()
    load = None
    if plan is not None and plan.inference is not None:
        needs = plan.inference
        calibration = needs.calibration_bytes if SCHEMES[scheme].calibrated else 0
        load = load_of(needs, "model" if "model" in needs.form_bytes else "base", whole=calibration)
    machine = _holding(load, hardware, device, "optimize")
    parent = ROOM * load.weights if load is not None else 0
    return replace(machine, memory=max(machine.memory, mib(parent))).asked(hardware).placed()


def _holding(load: Load | None, hardware: WorkHardware, device: Device, work: str) -> Machine:
    """Return the machine for a load; where it is not known, a usual one. On a CPU numbers are in float32.

    Raises:
        ConfigError: no GPU type holds it, and the description names none.
    """
    if device == "cpu" or hardware.without_gpu:
        held = load.total * FLOAT32 / BF16 if load is not None else 0
        return Machine((), CORES, mib(FLOOR + ROOM * held), 12 * HOUR)
    gpus = hardware.gpu or (UNPLANNED if load is None else smallest(load))
    if not gpus:
        assert load is not None
        raise _nothing_fits(work, f"{load.total / GIB:.0f} GiB that {load.counts[-1]} GPUs would share")
    return Machine.with_gpus(gpus, 0, 12 * HOUR)


def _nothing_fits(work: str, what: str) -> ConfigError:
    return ConfigError(
        f"no GPU type holds what is needed here: {what}",
        where=f"hardware.{work}",
        fix=f"take a smaller base, or name GPUs nevertheless: hardware.{work}: B200:8",
    )


def _without_model(stage: StageName, plan: PlanArtifact | None) -> Placement:
    """Return where a stage runs that loads no model; the data stage holds as much as its text is large."""
    if stage != "data":
        return Machine((), 2.0, mib(4 * GIB), HOUR).placed()
    profile = plan.profile if plan is not None else None
    text = ROW_COPIES * TOKEN_BYTES * profile.rows * profile.mean_tokens if profile is not None else 0
    return Machine((), CORES, mib(8 * GIB + text), 6 * HOUR).placed()


def _longest(plan: PlanArtifact) -> int:
    """Return the tokens of the longest row: those left out of training are still asked."""
    return max(plan.decisions.max_length, plan.profile.max_tokens)
