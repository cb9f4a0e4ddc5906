"""The report of a run as one value: every number is read from a manifest or a file that a manifest lists."""

from __future__ import annotations

import json
from typing import Any

from pipeline.core.errors import IntegrityError
from pipeline.core.registry import LOSS_CURVE
from pipeline.report import findings
from pipeline.report.changes import CHAMPION, item_changes, worst_items
from pipeline.report.configuration import configuration_rows
from pipeline.report.costs import gpu_estimate, planned_and_measured, stage_costs
from pipeline.report.human import human_evaluations
from pipeline.report.next_steps import next_steps
from pipeline.report.progress import call_rows
from pipeline.report.record import Finished, RunRecord
from pipeline.report.scores import gain, primary_metric, retention_rows, subjects, variant_rows
from pipeline.report.types import DataCounts, LossPoint, Parity, Registration, Report, Training
from schemas.data import DataArtifact
from schemas.serve import ServeArtifact
from schemas.train import TrainArtifact


def build_report(record: RunRecord, registration: Registration | None = None) -> Report:
    """Project a run into a report; parts that the run has not come to are empty or None.

    Raises:
        IntegrityError: a manifest or a file behind it is damaged.
    """
    registered = registration or Registration()
    metric = primary_metric(record)
    decided = record.register.artifact if record.register is not None else None
    decision = decided.decision if decided is not None else None
    best = decision.best_baseline if decision is not None else None
    tuned = record.evaluations.get(record.shipped)
    found = findings.condition_statements(record)
    return Report(
        run=record.run,
        name=record.spec.name,
        created_at=record.file.created_at,
        spec_digest=record.file.spec_digest,
        task=record.spec.task,
        primary_metric=metric,
        alpha=record.spec.gate.alpha,
        registration=registered,
        asked=findings.asked(record),
        answer=findings.answer(record),
        reasons=findings.reasons(record, registered),
        gain=gain(record),
        better_than_baseline=decision.better_than_baseline if decision is not None else None,
        target_reached=decision.target_reached if decision is not None else None,
        best_baseline=best,
        conditions=decision.all_conditions if decision is not None else (),
        served_variant=decided.served_variant if decided is not None else None,
        statements=found,
        next_steps=next_steps(record, registered),
        limitations=findings.limitations(record),
        costs=stage_costs(record),
        planned=planned_and_measured(record),
        gpu=gpu_estimate(record),
        data=_data(record.data) if record.data is not None else None,
        subjects=subjects(record),
        baseline_comparisons=decided.baseline_comparisons if decided is not None else (),
        variant_comparisons=decided.variant_comparisons if decided is not None else (),
        retention_comparisons=decided.retention_comparisons if decided is not None else (),
        protected_comparisons=decided.protected_comparisons if decided is not None else (),
        bias_comparisons=decided.bias_comparisons if decided is not None else (),
        bias={name: item.artifact for name, item in record.bias.items()},
        judgements={name: item.artifact for name, item in record.judgements.items()},
        human=human_evaluations(record.root, record.register.ref) if record.register is not None else (),
        seeds=decided.seeds if decided is not None else None,
        retention=retention_rows(record),
        retention_waived=record.file.retention_waived,
        variants=variant_rows(record, metric),
        training=tuple(
            _training(name, item, record.register is not None and name == record.shipped)
            for name, item in record.models.items()
        ),
        confusions=tuned.artifact.confusions if tuned is not None else (),
        changes=item_changes(record, best, metric),
        champion_changes=item_changes(record, CHAMPION, metric) if best != CHAMPION else None,
        worst=worst_items(record, metric),
        parity=_parity(record.serve) if record.serve is not None else None,
        calls=call_rows(record),
        configuration=configuration_rows(record),
    )


def report_json(report: Report) -> str:
    """Return the report as JSON text, indented, ending with a line break."""
    return report.model_dump_json(indent=2) + "\n"


def _data(data: Finished[DataArtifact]) -> DataCounts:
    made = data.artifact
    return DataCounts(
        read=made.read,
        rows={str(split): rows for split, rows in made.rows.items()},
        dropped=made.dropped,
        personal_data=made.personal_data,
        leaked=made.leaked,
        near_train_test_rows=made.near_train_test_rows,
        clusters=made.clusters,
        source_digest=made.source_digest,
        findings=made.findings,
    )


def _training(name: str, model: Finished[TrainArtifact], shipped: bool) -> Training:
    made = model.artifact
    return Training(
        name=name,
        shipped=shipped,
        steps=made.steps,
        epochs=made.epochs,
        parameters=made.parameters,
        trainable_parameters=made.trainable_parameters,
        train_loss=made.train_loss,
        eval_loss=made.eval_loss,
        best_step=made.best_step,
        stopped_early=made.stopped_early,
        rows=made.rendered.kept,
        dropped_long=made.rendered.dropped_long,
        truncated=made.rendered.truncated,
        tokens=made.rendered.tokens,
        trained_tokens=made.rendered.trained_tokens,
        replay_rows=made.replay_rows,
        recoveries=made.recoveries,
        rewards=made.rewards,
        curve=_curve(model),
    )


def _curve(model: Finished[TrainArtifact]) -> tuple[LossPoint, ...]:
    path = model.path / LOSS_CURVE
    try:
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        points = [
            LossPoint(
                step=int(line["step"]),
                **{name: _number(line.get(name)) for name in ("loss", "eval_loss", "reward")},
            )
            for line in lines
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise IntegrityError(
            "the training log cannot be read",
            where=str(path),
            fix="run with --fresh train to make it again",
            detail=str(error),
        ) from error
    return tuple(point for point in points if point.loss is not None or point.eval_loss is not None)


def _number(value: Any) -> float | None:
    return float(value) if value is not None else None


def _parity(serve: Finished[ServeArtifact]) -> Parity:
    made = serve.artifact
    return Parity(
        engine=made.engine,
        engine_version=made.engine_version,
        prompts=made.prompts,
        prompt_mismatches=made.prompt_mismatches,
        answer_mismatches=made.answer_mismatches,
        smoke_prompt=made.smoke_prompt,
        smoke_answer=made.smoke_answer,
        ready_seconds=made.ready_seconds,
    )
