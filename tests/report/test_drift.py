"""The monitoring report: what it says, and that its plots have the numbers that they draw."""

from __future__ import annotations

import re
from dataclasses import replace

from pipeline.monitor.choose import Chosen
from pipeline.monitor.compare import drift_report
from pipeline.report.drift import drift_html, drift_page, overview_table, summary_text, window_text
from pipeline.report.plots import ShareRow, share_plot
from schemas.monitor import DriftReport, MonitorConfig, WindowFacts
from tests.monitor.rows import rows

CONFIG = MonitorConfig(window=60, reference_rows=150)


def made(topic: str, *past: str) -> DriftReport:
    current = [replace(row, confidence=None) for row in rows(60, topic, seed=2)]
    earlier = tuple(rows(60, name, seed=number + 3) for number, name in enumerate(past))
    return drift_report("triage@1", "first", Chosen(rows(150, seed=1), current, earlier), CONFIG)


def test_two_bars_are_as_long_as_their_shares() -> None:
    # The scale is 334 (348 - 14) units for the largest share, 0.5: 0.25 is 167 units, and 0 is shown by half a unit.
    drawn = share_plot([ShareRow("a", 0.5, 0.25), ShareRow("b", 0.0, 0.5)], "words")
    assert [float(width) for width in re.findall(r'width="([\d.]+)"', drawn)] == [334.0, 167.0, 0.5, 334.0]
    assert "50.0% / 25.0%" in drawn and 'aria-label="words"' in drawn
    assert re.findall(r'class="bar (\w+)"', drawn) == ["baseline", "tuned"] * 2


def test_an_alarm_says_what_drifted_first() -> None:
    report = made("travel", "cards", "travel")
    page = drift_page(report)
    assert (page.verdict, page.tone) == ("Drift", "bad")
    assert page.summary == summary_text(report)
    assert "words of inputs" in page.summary and "errors" not in page.summary
    marks = [row[-1] for row in overview_table(report).rows]
    assert marks == sorted(marks, reverse=True) and marks[0] == "drift" and marks[-1] == ""
    html = drift_html(report)
    assert "confidence: token probabilities: 150 before and 0 now, 20 are needed" in html
    assert "How windows compared with the same reference" in html
    assert "Earlier windows" in html


def test_no_alarm_says_how_often_one_is_wrong() -> None:
    report = made("cards")
    page = drift_page(report)
    assert (page.verdict, page.tone) == ("No drift", "good")
    assert page.summary == ("None of 9 detectors drifted. Where nothing changes, one does in at most 1.0% of windows.")
    assert [section.anchor for section in page.front] == ["detectors"]


def test_a_window_is_told_with_its_users_and_times() -> None:
    facts = WindowFacts(rows=400, units=312, first=1_793_520_000.0, last=1_793_523_600.0, digest="ab" * 32)
    # 1,793,520,000 = 20,758 days and 28,800 s: 2026-11-01, 08:00.
    assert window_text(facts) == (
        "400 answers of 312 users and conversations, 2026-11-01 08:00 to 2026-11-01 09:00 UTC"
    )
    assert window_text(facts.model_copy(update={"units": 400, "first": None})) == "400 answers"
