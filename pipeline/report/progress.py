"""The calls of a run: what each left, and which of those that the description asks for were not reached."""

from __future__ import annotations

from pipeline.report.record import RunRecord
from pipeline.report.types import CallRow
from schemas.run import RunSpec


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
    return tuple(call_id for call_id in expected_calls(record.spec) if call_id not in record.calls)


def expected_calls(spec: RunSpec) -> tuple[str, ...]:
    """Return the calls that ``spec`` names by itself; a champion or the base's own run may add more."""
    wanted = spec.evaluate.baselines
    has_weights = spec.base_model.init is None
    tfidf = wanted.tfidf if wanted.tfidf is not None else spec.task == "classification"
    baselines = {
        "base": wanted.base and has_weights,
        "few-shot": wanted.few_shot > 0 and has_weights,
        "tfidf": tfidf,
        "endpoint": wanted.endpoint is not None,
    }
    tasks = [task.name for task in spec.evaluate.retention or ()]
    calls = ["plan", "data", *(f"data.retention-{task}" for task in tasks)]
    calls += [f"evaluate.baseline-{name}" for name, asked in baselines.items() if asked]
    calls += [f"train.seed-{seed}" for seed in spec.train.seeds]
    calls += [f"evaluate.seed-{seed}" for seed in spec.train.seeds]
    for variant in spec.variants:
        calls += [f"optimize.{variant.name}", f"evaluate.variant-{variant.name}"]
    for task in tasks:
        calls += [f"evaluate.retention-{task}-before", f"evaluate.retention-{task}-after"]
    return (*calls, *(("serve",) if spec.serve is not False else ()), "register")
