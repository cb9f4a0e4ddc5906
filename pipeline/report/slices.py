"""Where the tuned model is weak: its score on each kind of item, beside the best baseline's, the worst kinds first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from pipeline.core.numbers import p_value, percent, points
from pipeline.metrics.class_counts import ClassMetric
from pipeline.metrics.registry import metric_factory, metric_names
from pipeline.report.page import Block, Paragraph, Plot, Table
from pipeline.report.plots import IntervalRow, interval_plot
from pipeline.report.types import Report, SubjectScores
from pipeline.report.wording import clip, count, difference_range, score_range, score_text
from schemas.evaluate import CLEAN, NEAR_TRAIN, Score, WeakSlice
from schemas.register import Comparison

DRAWN = 8
"""Slices in the plot."""

_SHOWN = 12
"""Rows of a table that is not folded."""

_NAME_LENGTH = 60

_COLUMNS = ("Items", "Tuned", "95% interval", "Best baseline", "Difference", "Bounds")


class _Row(NamedTuple):
    name: str
    tuned: Score
    baseline: Score | None
    compared: Comparison | None


def slices(report: Report) -> Iterator[Block]:
    """Yield the slices by the metric that decides; nothing where there are none."""
    tuned = _shipped(report)
    if tuned is None:
        return
    rows = sorted(_rows(report, tuned), key=lambda row: (row.tuned.value, row.name))
    if not rows:
        return
    metric = report.primary_metric
    if len(rows) > 2:
        yield _plot(f"{metric} of the kinds of items that it is worst on", rows[:DRAWN], tuned.scores[metric])
    yield Table(
        f"{metric} by slice, the tuned model's worst first; differences in percentage points",
        ("Slice", *_COLUMNS),
        tuple(_cells(row) for row in rows),
        frozenset(_COLUMNS),
        folded=len(rows) > _SHOWN,
    )
    if _of_classes(metric) and any(row.name.startswith("label ") for row in rows):
        yield Paragraph("Of a slice whose items all have one label, the share that is right is shown.")
    yield _weak(tuned)
    if {CLEAN, NEAR_TRAIN} <= {row.name for row in rows}:
        yield Paragraph(f"Items of {NEAR_TRAIN} nearly repeat a training row, those of {CLEAN} repeat none.")


def _of_classes(metric: str) -> bool:
    factory = metric_factory(metric) if metric in metric_names() else None
    return isinstance(factory, type) and issubclass(factory, ClassMetric)


def _weak(tuned: SubjectScores) -> Block:
    if not tuned.weak:
        return Paragraph("On no slice is the tuned model significantly worse than on its other items.")
    numeric = ("Items", "Difference", "95% interval", "p, corrected")
    rows = tuple(
        (clip(each.name, _NAME_LENGTH), f"{each.n:,}", f"{100 * each.difference:+.1f}", _range(each), _p(each.p_value))
        for each in tuned.weak
    )
    caption = "Where it is significantly worse than on its other items; differences in percentage points"
    return Table(caption, ("Slice", *numeric), rows, frozenset(numeric), folded=len(rows) > _SHOWN)


def _range(weak: WeakSlice) -> str:
    return f"{100 * weak.low:+.1f} to {100 * weak.high:+.1f}"


def _p(value: float) -> str:
    return p_value(value).removeprefix("p = ").removeprefix("p ")


def _shipped(report: Report) -> SubjectScores | None:
    """Return the model that is compared with the best baseline, the first that was trained before there is one."""
    tuned = {subject.name: subject for subject in report.subjects if subject.role == "tuned"}
    first = next(iter(tuned), "")
    return tuned.get(report.gain.candidate if report.gain is not None else first)


def _rows(report: Report, tuned: SubjectScores) -> Iterator[_Row]:
    metric = report.primary_metric
    best = next((subject for subject in report.subjects if subject.name == report.best_baseline), None)
    compared = {item.part: item for item in report.protected_comparisons if item.part is not None}
    for name, scores in tuned.slices.items():
        if metric in scores:
            other = best.slices.get(name, {}).get(metric) if best is not None else None
            yield _Row(name, scores[metric], other, compared.get(name))


def _cells(row: _Row) -> tuple[str, ...]:
    other = "not measured"
    if row.baseline is not None:
        other = f"{percent(row.baseline.value)} ({score_range(row.baseline)})"
    return (
        clip(row.name, _NAME_LENGTH),
        f"{row.tuned.n:,}",
        percent(row.tuned.value),
        score_range(row.tuned),
        other,
        *_gained(row.compared),
    )


def _gained(compared: Comparison | None) -> tuple[str, str]:
    """Return difference and bounds; a difference that was not tested has none, and is not shown without."""
    if compared is None:
        return "not compared", ""
    return points(compared.difference).removesuffix(" points"), difference_range(compared)


def _plot(caption: str, rows: list[_Row], overall: Score) -> Plot:
    named = [("all items", overall, "baseline"), *((row.name, row.tuned, "tuned") for row in rows)]
    drawn = [
        IntervalRow(f"{name}, {count(score.n, 'item')}", score.value, score.low, score.high, percent(score.value), kind)
        for name, score, kind in named
    ]
    spoken = "; ".join(f"{name}: {score_text(score)}" for name, score, _ in named)
    alternative = f"{caption}. {spoken}."
    return Plot(caption, interval_plot(drawn, alternative), alternative)
