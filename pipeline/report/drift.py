"""What a monitor found, as a page: the alarm or none, every detector, what changed most, and how it came about."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime

from pipeline.core.numbers import p_value
from pipeline.report.page import Block, Bullets, Page, Paragraph, Plot, Section, Table, filled
from pipeline.report.plots import Series, ShareRow, line_plot, share_plot
from pipeline.report.report_html import page_html
from pipeline.report.wording import clip, count, listed
from schemas.monitor import DriftReading, DriftReport, WindowFacts

_LABEL_LENGTH = 60
_SMALLEST = 1e-6

_REFERENCES = {"first": "the first answers that were captured", "test": "the rows that the version was evaluated on"}


def drift_html(report: DriftReport) -> str:
    """Return a report as one self-contained HTML document."""
    return page_html(drift_page(report))


def drift_page(report: DriftReport) -> Page:
    """Return the page of a report."""
    return Page(
        title=f"{report.version}: monitoring report",
        subtitle=f"{window_text(report.current)}, against {_REFERENCES[report.reference_kind]}",
        tone="bad" if report.alarm else "good",
        verdict="Drift" if report.alarm else "No drift",
        summary=summary_text(report),
        front=tuple(
            filled((("detectors", "Detectors", _overview(report)), ("time", "Windows over time", _time(report))))
        ),
        details=tuple(_details(report)),
    )


def summary_text(report: DriftReport) -> str:
    """Return what was found in one or two sentences."""
    drifted = [reading.title.lower() for reading in report.readings if reading.drifted]
    if drifted:
        return f"{count(len(drifted), 'detector')} of {len(report.readings)} drifted: {listed(drifted)}."
    return (
        f"None of {len(report.readings)} detectors drifted. Where nothing changes, one does in at most "
        f"{report.config.alpha:.1%} of windows."
    )


def window_text(window: WindowFacts) -> str:
    """``400 answers of 312 users or conversations, 2026-11-20 08:00 to 2026-11-27 11:58 UTC``."""
    text = count(window.rows, "answer")
    if window.units != window.rows:
        text += f" of {count(window.units, 'user or conversation', 'users and conversations')}"
    if window.first is None or window.last is None:
        return text
    first, last = (datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M") for at in (window.first, window.last))
    return f"{text}, {first} to {last} UTC"


def overview_table(report: DriftReport) -> Table:
    """Return the table of all detectors, those that drifted first."""
    ordered = sorted(report.readings, key=lambda reading: (not reading.drifted, reading.p_adjusted))
    return Table(
        "",
        ("detector", "before", "now", "shift", "p", "p, corrected", ""),
        tuple(_overview_row(reading) for reading in ordered),
        frozenset({"before", "now", "shift", "p", "p, corrected"}),
    )


def _overview_row(reading: DriftReading) -> tuple[str, ...]:
    return (
        reading.title,
        _value(reading, reading.reference),
        _value(reading, reading.current),
        f"{reading.measure} {reading.effect:.3f}",
        _p(reading.p_value),
        _p(reading.p_adjusted),
        "drift" if reading.drifted else "",
    )


def _value(reading: DriftReading, value: float | None) -> str:
    if value is None:
        return ""
    if reading.unit == "share":
        return f"{100 * value:.1f}%"
    return f"{value:,.0f}" if reading.unit == "characters" else f"{value:.2f}"


def _p(p: float) -> str:
    return p_value(p).removeprefix("p ").removeprefix("= ")


def _overview(report: DriftReport) -> Iterator[Block]:
    yield Paragraph(
        f"Before: {window_text(report.reference)}. Now: {window_text(report.current)}. Values are medians of lengths "
        f"and probabilities, shares of errors and refusals, and the mean score. A detector drifts where its p-value, "
        f"corrected over all detectors (Holm), is at most {report.config.alpha:g}."
    )
    yield overview_table(report)
    if report.skipped:
        yield Bullets(tuple(f"{skip.detector}: {skip.reason}" for skip in report.skipped))


def _time(report: DriftReport) -> Iterator[Block]:
    """Yield the smallest corrected p-value of each window, on a logarithmic scale."""
    if not report.past:
        return
    smallest = [past.p_adjusted for past in report.past] + [min(reading.p_adjusted for reading in report.readings)]
    points = tuple((float(place), _evidence(p)) for place, p in enumerate(smallest, start=1))
    level = tuple((x, _evidence(report.config.alpha)) for x, _ in (points[0], points[-1]))
    told = ", ".join(f"{place}: {_p(p)}" for place, p in enumerate(smallest, start=1))
    words = f"The smallest corrected p-value of each window, the newest last: {told}"
    lines = (
        Series("evidence of drift", points, "tuned"),
        Series(f"alarm at {report.config.alpha:g}", level, "baseline"),
    )
    svg = line_plot(lines, "window", "-log10 of the smallest corrected p", words)
    yield Plot("How windows compared with the same reference", svg, words)
    rows = tuple(
        (
            str(place),
            "" if past.last is None else datetime.fromtimestamp(past.last, UTC).strftime("%Y-%m-%d %H:%M"),
            _p(past.p_adjusted),
            listed([name.replace("_", " ") for name in past.drifted]),
        )
        for place, past in enumerate(report.past, start=1)
    )
    columns = ("window", "last answer (UTC)", "smallest p, corrected", "drifted")
    yield Table("Earlier windows", columns, rows, frozenset({"smallest p, corrected"}), folded=True)


def _evidence(p: float) -> float:
    return -math.log10(max(p, _SMALLEST))


def _details(report: DriftReport) -> Iterator[Section]:
    for reading in report.readings:
        if reading.bars:
            yield Section(reading.detector, reading.title, tuple(_reading(reading)))
    about = (
        Paragraph(f"Texts were embedded by: {report.embedder}. Seed: {report.config.seed}."),
        Paragraph(f"Current window: {report.current.digest}. Reference: {report.reference.digest}."),
    )
    yield Section("provenance", "How this was made", about)


def _reading(reading: DriftReading) -> Iterator[Block]:
    rows = [ShareRow(clip(bar.label, _LABEL_LENGTH), bar.reference, bar.current) for bar in reading.bars]
    told = "; ".join(f"{row.label}: {100 * row.before:.1f}% before, {100 * row.now:.1f}% now" for row in rows)
    yield Paragraph(
        f"{count(reading.reference_items, 'item')} before and {reading.current_items:,} now; {reading.measure} "
        f"{reading.effect:.3f}, {p_value(reading.p_value)}, corrected {p_value(reading.p_adjusted)}."
    )
    yield Plot("Shares before (dashed) and now", share_plot(rows, told), told)
