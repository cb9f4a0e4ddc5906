"""FINETUNE_MODEL messages answered with a TRAINING_PLAN: the plan of a run whose data nobody has sent yet."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from pipeline.core.errors import ConfigError
from pipeline.core.spec import apply_overrides, describe_error
from pipeline.plan.draft import Request, draw_up
from pipeline.plan.hardware import broken_constraints
from pipeline.plan.known_models import DATED, require_known
from pipeline.plan.prices import GIB
from pipeline.plan.profile import Lengths
from pipeline.plan.task_words import task_of
from schemas.acp import (
    AcpGain,
    AcpHardware,
    AcpReason,
    FinetuneModel,
    TrainingPlanMessage,
)
from schemas.base import canonical_digest
from schemas.plan import HardwareOption, PlanArtifact, Task
from schemas.train import AdapterKind, TrainSpec

VALIDATION_SHARE, TEST_SHARE = 0.1, 0.2
"""Of rows, as `schemas.data.SplitOptions` has them."""

ASSUMED_TOKENS: dict[Task, float] = {"classification": 128.0, "extraction": 384.0, "generation": 512.0}
"""Mean tokens of a row where the message does not say, prompt and answer together."""

LONGEST_OVER_MEAN = 3.0
"""Assumed: the longest rows have three times the mean."""

ALPHA, POWER = 0.05, 0.8
HASH_LENGTH = 16


def parse(
    message: str | Mapping[str, Any], source: str = "ACP message", overrides: Sequence[str] = ()
) -> FinetuneModel:
    """Read a FINETUNE_MODEL message from JSON text or its values, with ``a.b=c`` set in it.

    Raises:
        ConfigError: with one line per error: not JSON, an unknown key (and the nearest), a missing or wrong value.
    """
    if isinstance(message, str):
        try:
            message = json.loads(message)
        except json.JSONDecodeError as error:
            raise ConfigError(
                f"not JSON: {error.msg}", where=f"{source}:{error.lineno}", fix="correct the JSON at this line"
            ) from error
    if not isinstance(message, Mapping):
        raise ConfigError("a message is a JSON object", where=source, fix='begin with {"cmd": "FINETUNE_MODEL", ...}')
    try:
        return FinetuneModel.model_validate(apply_overrides(dict(message), overrides))
    except ValidationError as error:
        lines = list(dict.fromkeys(describe_error(dict(item), FinetuneModel) for item in error.errors()))
        raise ConfigError(
            f"{len(lines)} error{'s' if len(lines) > 1 else ''} in the message:\n  " + "\n  ".join(lines), where=source
        ) from error


def answer(message: FinetuneModel) -> TrainingPlanMessage:
    """Return the plan that a message asks for; no file, model or network is needed.

    Raises:
        ModelError: the base is not among the known ones; the nearest are named.
    """
    name, _ = require_known(message.base_model, "base_model")
    method, why, plan = _choose_method(message)
    decisions = {
        key: AcpReason(value=reasoned.value, reason=reasoned.reason)
        for key, reasoned in plan.reasons.items()
        if key != "method"
    }
    reached, ignored = _target_warnings(message)
    plan = plan.model_copy(
        update={"warnings": (*reached, *plan.warnings, *ignored), "feasible": plan.feasible and not reached}
    )
    recommended = _option(plan, plan.recommended_gpu)
    return TrainingPlanMessage(
        base_model=name,
        parameters=plan.parameters,
        trainable_parameters=plan.trainable_parameters,
        method=AcpReason(value=method, reason=why),
        decisions=decisions,
        hardware=_hardware(recommended, message) if recommended is not None else None,
        alternatives=tuple(_hardware(o, message) for o in plan.hardware if o.fits and o.gpu != plan.recommended_gpu),
        expected_gain=_gain(message, plan),
        servable_by_vllm=plan.servable_by_vllm,
        feasible=plan.feasible,
        warnings=plan.warnings,
        prices_dated=plan.prices_dated,
        assumptions=(*_assumptions(message), *plan.assumptions),
        summary=_summary(name, message, method, why, plan),
        hash=canonical_digest(message)[:HASH_LENGTH],
    )


def _target_warnings(message: FinetuneModel) -> tuple[list[str], list[str]]:
    """Return what cannot be reached since it is there already, and which targets the plan does not look at."""
    targets, baselines = message.metrics.target, message.metrics.baseline
    reached = [
        f"the target {name} {target:g} is not above the baseline {baselines[name]:g}: there is nothing to gain"
        for name, target in targets.items()
        if name in baselines and target <= baselines[name]
    ]
    others = [f"{name} {target:g}" for name, target in list(targets.items())[1:]]
    ignored = []
    if others:
        ignored.append(
            f"the gain is planned for {next(iter(targets))}, the first target; {', '.join(others)} "
            f"{'is' if len(others) == 1 else 'are'} not planned for: in evaluate.target of a run, the gate holds to it"
        )
    return reached, ignored


def _choose_method(message: FinetuneModel) -> tuple[AdapterKind, str, PlanArtifact]:
    """Return the adapter, why, and its plan: as asked; else LoRA, or QLoRA where only that keeps the constraints."""
    if message.method is not None:
        return message.method, "the message asks for it", _plan(message, message.method)
    lora, qlora = _plan(message, "lora"), _plan(message, "qlora")
    plain, small = _option(lora, lora.recommended_gpu), _option(qlora, qlora.recommended_gpu)
    if qlora.feasible and not lora.feasible:
        return "qlora", "LoRA does not keep the constraints, a base in 4 bits does", qlora
    if plain is not None and small is not None and plain.count > 1 and small.count == 1:
        return "qlora", f"a base in 4 bits fits on one {small.gpu}, where LoRA needs {plain.count} {plain.gpu}", qlora
    return "lora", "it reaches full fine-tuning on narrow tasks, and its adapter is served beside others", lora


def _plan(message: FinetuneModel, adapter: AdapterKind) -> PlanArtifact:
    _, architecture = require_known(message.base_model, "base_model")
    task = task_of(message.dataset.task)
    mean = message.dataset.mean_tokens or ASSUMED_TOKENS[task]
    longest = mean * LONGEST_OVER_MEAN
    rows = message.dataset.size
    test, validation = round(rows * TEST_SHARE), round(rows * VALIDATION_SHARE)
    metric = primary_metric(message)
    spec = TrainSpec(
        method=message.objective, adapter=adapter, gradient_checkpointing=architecture.parameters >= 3_000_000_000
    )
    return draw_up(
        Request(
            task=task,
            architecture=architecture,
            from_scratch=False,
            train=spec,
            # Lengths are assumed, not sampled; the assumption has its room already.
            lengths=Lengths(0, mean, longest, longest, round(longest), "tokenizer"),
            rows=rows,
            train_rows=rows - test - validation,
            test_rows=test,
            evaluations=2,
            variants={},
            constraints=message.constraints,
            target=message.metrics.target.get(metric) if metric is not None else None,
            baseline=message.metrics.baseline.get(metric) if metric is not None else None,
            alpha=ALPHA,
            power=POWER,
        )
    )


def primary_metric(message: FinetuneModel) -> str | None:
    """Return the first target's metric, else the first baseline's."""
    return next(iter([*message.metrics.target, *message.metrics.baseline]), None)


def _option(plan: PlanArtifact, gpu: str | None) -> HardwareOption | None:
    return next((option for option in plan.hardware if option.gpu == gpu), None)


def _hardware(option: HardwareOption, message: FinetuneModel) -> AcpHardware:
    hours = option.seconds / 3600
    return AcpHardware(
        gpu=option.gpu,
        count=option.count,
        hours=round(hours, 2),
        gpu_hours=round(hours * option.count, 2),
        dollars=round(option.dollars, 2),
        memory_gib_per_gpu=round(option.memory_bytes / GIB, 1),
        within_constraints=not broken_constraints(option, message.constraints),
    )


def _gain(message: FinetuneModel, plan: PlanArtifact) -> AcpGain:
    metric, power = primary_metric(message), plan.power
    target = message.metrics.target.get(metric) if metric is not None else None
    return AcpGain(
        metric=metric,
        baseline=power.assumed_baseline,
        baseline_assumed=metric is None or metric not in message.metrics.baseline,
        target=target,
        gain_wanted=None if target is None else round(target - power.assumed_baseline, 6),
        test_rows=power.test_rows,
        power=power.power,
        minimum_detectable_gain=power.minimum_detectable_gain,
        test_rows_needed=power.rows_for_target,
    )


def _assumptions(message: FinetuneModel) -> tuple[str, ...]:
    task = task_of(message.dataset.task)
    mean = message.dataset.mean_tokens
    return (
        f"{message.dataset.task!r} is taken for {task}",
        f"a row has {mean:g} tokens on average, as the message says"
        if mean is not None
        else f"a row has {ASSUMED_TOKENS[task]:g} tokens on average; the longest {LONGEST_OVER_MEAN:g} times that",
        f"{TEST_SHARE:.0%} of the rows are for testing, {VALIDATION_SHARE:.0%} for validation",
        f"sizes of the base as of {DATED}; one seed; two evaluations",
    )


def _summary(name: str, message: FinetuneModel, method: AdapterKind, why: str, plan: PlanArtifact) -> str:
    """Return the plan in a few sentences for people."""
    option = _option(plan, plan.recommended_gpu)
    parts = [f"Train {name} with {method} on {message.dataset.size:,} rows: {why}."]
    if option is None:
        parts.append("It fits no GPU type here, not even eight of one.")
    else:
        parts.append(
            f"It takes about {option.seconds / 3600:.1f} hours on {option.count} x {option.gpu}, "
            f"{option.dollars:.2f} US dollars at prices of {plan.prices_dated}."
        )
    least = plan.power.minimum_detectable_gain
    if least is not None:
        parts.append(
            f"{plan.power.test_rows:,} test rows show a gain of {100 * least:.1f} points over "
            f"{100 * plan.power.assumed_baseline:.1f}% with {100 * plan.power.power:.0f}% power; whether the training "
            "reaches it is measured, not promised."
        )
    if not plan.feasible:
        parts.append(f"It does not keep what was asked: {'; '.join(plan.warnings)}.")
    return " ".join(parts)
