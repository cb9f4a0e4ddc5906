"""The scores of a run: who was evaluated, on what, and which metric decides."""

from __future__ import annotations

from pathlib import PurePath
from typing import assert_never

from pipeline.report.record import Finished, RunRecord
from pipeline.report.types import RetentionRow, Role, SubjectScores, VariantRow
from schemas.evaluate import (
    BaseSubject,
    EndpointSubject,
    EvaluateArtifact,
    ModelSubject,
    Score,
    TfidfSubject,
)
from schemas.register import Comparison, RegisterArtifact
from schemas.resolved import RECORD_METRICS


def primary_metric(record: RunRecord) -> str:
    """Return the metric that decides."""
    return record.file.metrics[0].name


def subjects(record: RunRecord) -> tuple[SubjectScores, ...]:
    """Return every evaluated subject: baselines, then the tuned seeds, then the variants."""
    groups: tuple[tuple[Role, dict[str, Finished[EvaluateArtifact]]], ...] = (
        ("baseline", record.baselines),
        ("tuned", record.evaluations),
        ("variant", record.variant_evaluations),
    )
    return tuple(
        _subject(name, role, item.artifact, len(group)) for role, group in groups for name, item in group.items()
    )


def _subject(name: str, role: Role, evaluation: EvaluateArtifact, beside: int) -> SubjectScores:
    return SubjectScores(
        name=name,
        title=_title(name, role, evaluation, beside),
        role=role,
        n=evaluation.n,
        scores=evaluation.scores,
        slices=evaluation.slices,
        truncated=evaluation.truncated,
        engine=evaluation.engine,
        weak=evaluation.weak,
        measures=evaluation.measures,
        reliability=evaluation.reliability,
    )


def _title(name: str, role: Role, evaluation: EvaluateArtifact, beside: int) -> str:
    """Return a subject's name in plain words; one of several seeds is told from the others."""
    if role == "tuned":
        return f"Tuned model, {name.replace('-', ' ')}" if beside > 1 else "Tuned model"
    if role == "variant":
        return f"Variant {name}"
    match evaluation.subject:
        case BaseSubject(few_shot=0, instruction=instruction):
            return f"Base model {'with the' if instruction else 'without a'} task prompt"
        case BaseSubject(few_shot=shots):
            return f"Base model with {shots} examples"
        case TfidfSubject():
            fields = RECORD_METRICS & set(evaluation.scores)
            return f"TF-IDF and logistic regression{', field by field' if fields else ''}"
        case EndpointSubject(model=model):
            return f"Endpoint: {PurePath(model).name}"
        case ModelSubject():
            return "Current champion"
        case _:
            assert_never(evaluation.subject)


def gain(record: RunRecord) -> Comparison | None:
    """Return the test that decided, None before there is a decision."""
    return best_comparison(record.register.artifact) if record.register is not None else None


def best_comparison(decided: RegisterArtifact) -> Comparison | None:
    """Return the comparison of the shipped model with the best baseline on the primary metric."""
    found = (
        comparison
        for comparison in decided.baseline_comparisons
        if (comparison.metric, comparison.candidate, comparison.reference)
        == (decided.primary_metric, decided.shipped, decided.decision.best_baseline)
    )
    return next(found, None)


def variant_rows(record: RunRecord, metric: str) -> tuple[VariantRow, ...]:
    """Return every variant with its size and its score on the primary metric."""
    rows = []
    for name, item in record.variants.items():
        made = item.artifact
        evaluation = record.variant_evaluations.get(name)
        rows.append(
            VariantRow(
                name=name,
                scheme=made.variant.scheme,
                size_bytes=made.size_bytes,
                parent_size_bytes=made.parent_size_bytes,
                bytes_per_parameter=made.weight_bytes_per_parameter,
                logit_difference=made.logit_difference,
                score=_score(evaluation, metric),
            )
        )
    return tuple(rows)


def retention_rows(record: RunRecord) -> tuple[RetentionRow, ...]:
    """Return every task of the base that was measured before or after training."""
    named = {task.name: task.metric.name for task in record.file.retention}
    rows = []
    for task, moments in record.retention.items():
        metric = named[task]
        before, after = (_score(moments.get(moment), metric) for moment in ("before", "after"))
        rows.append(RetentionRow(task=task, metric=metric, before=before, after=after))
    return tuple(rows)


def _score(evaluation: Finished[EvaluateArtifact] | None, metric: str) -> Score | None:
    return evaluation.artifact.scores.get(metric) if evaluation is not None else None
