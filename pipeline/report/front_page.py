"""The first page: what was asked, ship or not and why, the gain, the cost, and what the numbers cannot show."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.core.numbers import p_value, percent, points
from pipeline.report.page import Block, Bullets, Paragraph, Plot, Section, Table, Tone
from pipeline.report.plots import IntervalRow, interval_plot
from pipeline.report.types import Answer, PlannedMeasured, Report, SubjectScores
from pipeline.report.wording import count, difference_range, dollars, level, score_text, seconds, size

VERDICTS: dict[Answer, str] = {"ship": "Ship", "do not ship": "Do not ship", "undecided": "Not decided"}
TONES: dict[Answer, Tone] = {"ship": "good", "do not ship": "bad", "undecided": "open"}


def front_page(report: Report) -> tuple[Section, ...]:
    """Return the sections of the first page."""
    return (
        Section("asked", "What was asked", (Table("", ("", ""), tuple((f.name, f.text) for f in report.asked)),)),
        Section("why", "Why", (Bullets(report.reasons),)),
        Section("gain", "Gain", tuple(_gain(report))),
        Section("cost", "Cost", tuple(_cost(report))),
        Section("limitations", "Limitations", (Bullets(report.limitations),)),
    )


def summary_text(report: Report) -> str:
    """Return the verdict's one sentence: better or not, target reached or not, each said apart."""
    if report.answer == "undecided":
        return "The run has not come to a decision."
    better = "better than the best baseline" if report.better_than_baseline else "not shown to be better"
    parts = [f"The tuned model is {better}" + ("" if report.better_than_baseline else " than the best baseline")]
    if report.target_reached is not None:
        parts.append(f"the target is {'reached' if report.target_reached else 'not reached'}")
    failed = sum(1 for item in report.conditions if item.required and not item.passed)
    required = sum(1 for item in report.conditions if item.required)
    parts.append(f"{required - failed} of {count(required, 'required condition')} met")
    return "; ".join(parts) + "."


def gain_text(report: Report) -> str | None:
    """Return the gain as one sentence with its interval, test and n; None where nothing was compared."""
    gain = report.gain
    if gain is None:
        return None
    moved = "rose" if gain.difference > 0 else "fell" if gain.difference < 0 else "stayed"
    return (
        f"{gain.metric} {moved} from {percent(gain.reference_value)} ({_title(report, gain.reference)}, the best "
        f"baseline) to {percent(gain.candidate_value)}: {points(gain.difference)}, {level(report.alpha)} "
        f"interval {difference_range(gain)} ({gain.test}, {p_value(gain.p_value)}, n = {gain.n:,})."
    )


def _title(report: Report, name: str) -> str:
    titles = {subject.name: subject.title for subject in report.subjects}
    title = titles.get(name, name)
    return title[:1].lower() + title[1:] if not title.startswith("TF-IDF") else title


def _gain(report: Report) -> Iterator[Block]:
    text = gain_text(report)
    yield Paragraph(text or "No gain was measured.")
    measured = [subject for subject in report.subjects if report.primary_metric in subject.scores]
    if measured:
        yield score_plot(f"{report.primary_metric} with 95% intervals", measured, report.primary_metric)


def score_plot(caption: str, subjects: list[SubjectScores], metric: str) -> Plot:
    """Draw the scores of ``subjects`` on one metric."""
    rows = [
        IntervalRow(
            label=subject.title,
            value=subject.scores[metric].value,
            low=subject.scores[metric].low,
            high=subject.scores[metric].high,
            text=percent(subject.scores[metric].value),
            kind=subject.role,
        )
        for subject in subjects
    ]
    spoken = "; ".join(f"{subject.title}: {score_text(subject.scores[metric])}" for subject in subjects)
    alternative = f"{caption}. {spoken}."
    return Plot(caption, interval_plot(rows, alternative), alternative)


def _cost(report: Report) -> Iterator[Block]:
    if report.costs:
        yield Table(
            "By stage, on the machine that ran it",
            ("Stage", "Calls", "CPU time", "Elapsed", "Peak memory"),
            (
                *(
                    (
                        cost.stage,
                        f"{cost.calls}" + (f" ({cost.reused} reused)" if cost.reused else ""),
                        seconds(cost.cpu_seconds),
                        seconds(cost.wall_seconds),
                        size(cost.peak_memory_bytes),
                    )
                    for cost in report.costs
                ),
                (
                    "all",
                    str(sum(cost.calls for cost in report.costs)),
                    seconds(sum(cost.cpu_seconds for cost in report.costs)),
                    seconds(sum(cost.wall_seconds for cost in report.costs)),
                    size(max(cost.peak_memory_bytes for cost in report.costs)),
                ),
            ),
            frozenset({"Calls", "CPU time", "Elapsed", "Peak memory"}),
        )
    if report.planned:
        yield Table(
            "Planned and measured; measured memory is the whole process with its libraries",
            ("", "Planned", "Measured", "Ratio"),
            tuple(_planned_row(row) for row in report.planned),
            frozenset({"Planned", "Measured", "Ratio"}),
        )
    if report.gpu is not None:
        many = f"{report.gpu.count} x " if report.gpu.count > 1 else ""
        yield Paragraph(
            f"On the recommended GPU ({many}{report.gpu.gpu}) the whole run is estimated to take "
            f"{seconds(report.gpu.seconds)} and to cost {dollars(report.gpu.dollars)}, at prices of "
            f"{report.gpu.prices_dated}."
        )


def _planned_row(row: PlannedMeasured) -> tuple[str, str, str, str]:
    def written(value: float) -> str:
        return size(value) if row.unit == "bytes" else seconds(value) if row.unit == "seconds" else f"{value:,.0f}"

    if row.measured is None:
        return row.quantity, written(row.planned), "not measured", ""
    ratio = f"{row.measured / row.planned:.2f}" if row.planned else ""
    return row.quantity, written(row.planned), written(row.measured), ratio
