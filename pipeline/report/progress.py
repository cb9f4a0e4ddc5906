"""The calls of a run: what each left, and which of those that the description asks for were not reached."""

from __future__ import annotations

from pipeline.report.record import RunRecord
from pipeline.report.types import CallRow
from schemas.resolved import RunFile


def call_rows(record: RunRecord) -> tuple[CallRow, ...]:
    """Return every call with its artifact, then those not reached."""
    rows = []
    for call_id, call, finished in record.artifacts():
        manifest = finished.manifest if finished is not None else None
        row = CallRow(id=call_id, stage=call.stage, status=call.status, ref=call.ref, cost=call.cost, error=call.error)
        if manifest is not None:
            row = CallRow(
                id=call_id,
                stage=call.stage,
                status=call.status,
                ref=call.ref,
                content_digest=manifest.content_digest,
                stage_version=manifest.stage_version,
                code_version=manifest.code_version,
                environment=manifest.environment,
                environment_digest=manifest.environment_digest,
                cost=manifest.cost,
                error=call.error,
            )
        rows.append(row)
    return (*rows, *(CallRow(id=name, stage=name.split(".")[0], status="not reached") for name in not_reached(record)))


def not_reached(record: RunRecord) -> tuple[str, ...]:
    """Return the calls that the description asks for and the run has not come to; empty once there is a decision."""
    if record.register is not None:
        return ()
    return tuple(call_id for call_id in expected_calls(record.file) if call_id not in record.calls)


def expected_calls(run: RunFile) -> tuple[str, ...]:
    """Return the calls that ``run`` asks for, in the order of their stages."""
    wanted = run.spec.evaluate.baselines
    has_weights = run.base.weights is not None
    baselines = {
        "base": wanted.base and has_weights,
        "few-shot": wanted.few_shot > 0 and has_weights and not run.spec.ranks,
        "champion": run.champion is not None,
        "tfidf": run.asks_tfidf,
        "endpoint": wanted.endpoint is not None,
    }
    seeds = run.spec.train.seeds
    calls = ["plan", "data", *(f"data.retention-{task.name}" for task in run.retention if task.files is not None)]
    calls += [f"evaluate.baseline-{name}" for name, asked in baselines.items() if asked]
    calls += [f"train.seed-{seed}" for seed in seeds] + [f"evaluate.seed-{seed}" for seed in seeds]
    if has_weights:
        calls += [f"evaluate.retention-{task.name}-{when}" for task in run.retention for when in ("before", "after")]
    for variant in run.spec.variants:
        calls += [f"optimize.{variant.name}", f"evaluate.variant-{variant.name}"]
    calls += [f"bias.{probe.probe.name}-before" for probe in run.bias if has_weights]
    calls += [f"bias.{probe.probe.name}-after" for probe in run.bias]
    if run.judge is not None:
        calls += ["judge.labels"] if run.judge.labels is not None else []
        calls += ["judge.best-baseline"] if any(baselines.values()) else []
        calls += ["judge.champion"] if run.champion is not None else []
    return (*calls, *(("serve",) if run.spec.serve is not False else ()), "register")
