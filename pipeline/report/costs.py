"""What a run cost: by stage, against the plan, and what it would cost on the GPU that the plan recommends."""

from __future__ import annotations

from pipeline.report.record import RunRecord
from pipeline.report.types import GpuEstimate, PlannedMeasured, StageCost
from schemas.artifacts import Cost
from schemas.base import ArtifactRef

_STAGES = ("plan", "data", "train", "evaluate", "optimize", "bias", "judge", "serve", "register")


def stage_costs(record: RunRecord) -> tuple[StageCost, ...]:
    """Return the cost of every stage that ran. An artifact that two calls share is counted once."""
    spent: dict[str, list[Cost]] = {}
    reused: dict[str, int] = {}
    seen: set[ArtifactRef] = set()
    for _, call, finished in record.artifacts():
        cost = finished.manifest.cost if finished is not None else call.cost
        if cost is None or (call.ref is not None and call.ref in seen):
            continue
        if call.ref is not None:
            seen.add(call.ref)
        spent.setdefault(call.stage, []).append(cost)
        reused[call.stage] = reused.get(call.stage, 0) + (call.status == "cached")
    return tuple(_total(stage, spent[stage], reused[stage]) for stage in _STAGES if stage in spent)


def _total(stage: str, costs: list[Cost], reused: int) -> StageCost:
    return StageCost(
        stage=stage,
        calls=len(costs),
        reused=reused,
        cpu_seconds=sum(cost.cpu_seconds for cost in costs),
        wall_seconds=sum(cost.wall_seconds for cost in costs),
        peak_memory_bytes=max(cost.peak_memory_bytes for cost in costs),
    )


def planned_and_measured(record: RunRecord) -> tuple[PlannedMeasured, ...]:
    """Return what the plan expected beside what it took; CPU time once the run has come to its decision.

    Measured memory is the whole process, libraries included; the plan estimates the training state.
    """
    if record.plan is None:
        return ()
    plan = record.plan.artifact
    model = record.models.get(record.shipped)
    worked = [
        cost.cpu_seconds for cost in stage_costs(record) if cost.stage in ("train", "evaluate", "optimize", "bias")
    ]
    return (
        PlannedMeasured(
            quantity="steps of one training",
            unit="steps",
            planned=plan.steps,
            measured=model.artifact.steps if model is not None else None,
        ),
        PlannedMeasured(
            quantity="CPU time of training, evaluations and variants",
            unit="seconds",
            planned=plan.local_cpu_seconds,
            measured=sum(worked) if record.register is not None else None,
        ),
        PlannedMeasured(
            quantity="peak memory of training",
            unit="bytes",
            planned=plan.local_memory_bytes,
            measured=model.manifest.cost.peak_memory_bytes if model is not None else None,
        ),
    )


def gpu_estimate(record: RunRecord) -> GpuEstimate | None:
    """Return the plan's row for the GPU that it recommends."""
    if record.plan is None or record.plan.artifact.recommended_gpu is None:
        return None
    plan = record.plan.artifact
    option = next((row for row in plan.hardware if row.gpu == plan.recommended_gpu and row.fits), None)
    if option is None:
        return None
    return GpuEstimate(
        gpu=option.gpu,
        count=option.count,
        seconds=option.seconds,
        dollars=option.dollars,
        prices_dated=plan.prices_dated,
    )
