"""What a run prints when it ends: plain rows for a terminal to draw, and the same as plain text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from pipeline.core.numbers import percent, points
from pipeline.report.front_page import VERDICTS, gain_text, summary_text
from pipeline.report.record import RunRecord
from pipeline.report.report import build_report
from pipeline.report.types import Registration, Report, StageCost
from pipeline.report.wording import clip, score_range, seconds, size
from schemas.base import Schema
from schemas.evaluate import Score
from schemas.register import Comparison

_ANSWER_LENGTH = 200


class SummaryRow(Schema):
    """One subject's score with its 95% interval; ``change`` says how it compares, in words."""

    label: str
    metric: str
    value: float | None
    low: float | None = None
    high: float | None = None
    n: int | None = None
    change: str = ""


class Summary(Schema):
    """The end of a run. ``scores``: baselines, then tuned seeds; ``retention`` and ``variants`` with their change.

    ``reasons`` has what failed first, ``concerns`` all but what held. ``report`` is the path as the caller gave it.
    """

    run: str
    verdict: str
    sentence: str
    reasons: tuple[str, ...]
    concerns: tuple[str, ...]
    next_steps: tuple[str, ...]
    version: str | None
    scores: tuple[SummaryRow, ...]
    paired_test: str | None
    retention: tuple[SummaryRow, ...]
    variants: tuple[SummaryRow, ...]
    served_prompt: str | None
    served_answer: str | None
    report: str | None
    costs: tuple[StageCost, ...]


def summarize(record: RunRecord, registration: Registration | None = None, report_path: Path | None = None) -> Summary:
    """Return the summary of a run, finished or not.

    Raises:
        IntegrityError: a manifest or a file behind it is damaged.
    """
    report = build_report(record, registration)
    held = sum(statement.outcome == "met" for statement in report.statements)
    return Summary(
        run=report.run,
        verdict=VERDICTS[report.answer],
        sentence=summary_text(report),
        reasons=report.reasons,
        concerns=report.reasons[: len(report.reasons) - held],
        next_steps=report.next_steps,
        version=report.registration.version,
        scores=tuple(_score_rows(report)),
        paired_test=gain_text(report),
        retention=tuple(_retention_rows(report)),
        variants=tuple(_variant_rows(report)),
        served_prompt=clip(report.parity.smoke_prompt, _ANSWER_LENGTH) if report.parity is not None else None,
        served_answer=clip(report.parity.smoke_answer, _ANSWER_LENGTH) if report.parity is not None else None,
        report=str(report_path) if report_path is not None else None,
        costs=report.costs,
    )


def _row(label: str, metric: str, score: Score | None, change: str = "") -> SummaryRow:
    if score is None:
        return SummaryRow(label=label, metric=metric, value=None, change=change)
    return SummaryRow(
        label=label, metric=metric, value=score.value, low=score.low, high=score.high, n=score.n, change=change
    )


def _score_rows(report: Report) -> Iterator[SummaryRow]:
    metric = report.primary_metric
    for subject in report.subjects:
        if subject.role != "variant":
            yield _row(subject.title, metric, subject.scores.get(metric))


def _retention_rows(report: Report) -> Iterator[SummaryRow]:
    for row in report.retention:
        yield _row(f"{row.task}, before", row.metric, row.before)
        found = next((item for item in report.retention_comparisons if item.task == row.task), None)
        yield _row(f"{row.task}, after", row.metric, row.after, points(found.difference) if found is not None else "")


def _variant_rows(report: Report) -> Iterator[SummaryRow]:
    for row in report.variants:
        found = next((item for item in report.variant_comparisons if item.candidate == row.name), None)
        yield _row(row.name, report.primary_metric, row.score, f"{size(row.size_bytes)}{_change(report, found)}")


def _change(report: Report, comparison: Comparison | None) -> str:
    if comparison is None:
        return ""
    variants = {row.name for row in report.variants}
    against = comparison.reference if comparison.reference in variants else "the tuned model"
    return f", {points(comparison.difference)} against {against}"


def plain_text(summary: Summary) -> str:
    """Return the summary as plain text, columns aligned; also for a generated block of a document."""
    lines = [f"{summary.verdict}: {summary.sentence}"]
    if summary.paired_test is not None:
        lines += ["", summary.paired_test]
    lines += [f"  - {concern}" for concern in summary.concerns]
    groups = (("Scores", summary.scores), ("The base's own tasks", summary.retention), ("Variants", summary.variants))
    for title, rows in groups:
        if rows:
            lines += ["", title, *_aligned([_cells(row) for row in rows])]
    if summary.costs:
        lines += ["", "Cost", *_aligned([_cost_cells(cost) for cost in summary.costs])]
    named = (
        ("Version", summary.version),
        ("Asked", summary.served_prompt),
        ("Served answer", summary.served_answer),
        ("Report", summary.report),
        ("Next", " ".join(summary.next_steps[:1]) or None),
    )
    lines += ["", *_aligned([(name, text) for name, text in named if text is not None])]
    return "\n".join(lines) + "\n"


def _cells(row: SummaryRow) -> tuple[str, ...]:
    if row.value is None or row.low is None or row.high is None or row.n is None:
        return row.label, row.metric, "not measured", "", "", row.change
    interval = score_range(Score(value=row.value, low=row.low, high=row.high, n=row.n, method=""))
    return row.label, row.metric, percent(row.value), f"[{interval}]", f"n = {row.n:,}", row.change


def _cost_cells(cost: StageCost) -> tuple[str, ...]:
    calls = f"{cost.calls} calls" if cost.calls > 1 else "1 call"
    reused = f"{cost.reused} reused" if cost.reused else ""
    return cost.stage, f"{seconds(cost.cpu_seconds)} CPU", f"peak {size(cost.peak_memory_bytes)}", calls, reused


def _aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return [
        ("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))).rstrip() for row in rows
    ]
