from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.report.record import RunRecord
from pipeline.report.summary import plain_text, summarize
from pipeline.report.types import Registration
from tests.support.run_fixture import RunFixture


def test_the_summary_holds_what_the_demo_prints(record: RunRecord) -> None:
    summary = summarize(record, Registration(version="triage@1"), Path("report.html"))
    assert (summary.verdict, summary.version, summary.report) == ("Ship", "triage@1", "report.html")
    tuned = summary.scores[-1]
    assert (tuned.label, tuned.value, tuned.low, tuned.high, tuned.n) == (
        "Tuned model",
        0.9,
        0.6990,
        0.9721,
        20,
    )
    assert summary.paired_test is not None and "on the same 20 test items: +70.0 points" in summary.paired_test
    assert [row.label for row in summary.retention] == ["commands, before", "commands, after"]
    # 15/20 - 16/20
    assert summary.retention[1].change == "-5.0 points"
    assert summary.concerns == () and len(summary.reasons) == 4
    assert [row.value for row in summary.variants] == [0.9, pytest.approx(0.85)]
    assert summary.served_prompt == "Where is my order?"
    assert {cost.stage for cost in summary.costs} >= {"train", "evaluate", "serve"}


def test_plain_text_shows_every_part(record: RunRecord) -> None:
    text = plain_text(summarize(record, Registration(version="triage@1"), Path("report.html")))
    for part in (
        "Ship: ",
        "90.0%",
        "[69.9% to 97.2%]",
        "n = 20",
        "triage@1",
        "report.html",
        "peak 900.0 MB",
        "30.0 s CPU",
    ):
        assert part in text
    assert all(line == line.rstrip() for line in text.splitlines())
    assert len(text.splitlines()) <= 35
    assert "seed-0" not in text and "McNemar" not in text and "Met:" not in text


def test_plain_text_says_what_was_not_met(fixture: RunFixture) -> None:
    fixture.promoted = False
    text = plain_text(summarize(RunRecord.load(fixture.root, fixture.build())))
    assert text.startswith("Do not ship: ")
    assert "not met: keeping what the base could do (commands)" in text.splitlines()[0]
    assert "  - Not met: What the base could do before is not shown to be kept" in text


def test_an_unfinished_run_has_a_summary(fixture: RunFixture) -> None:
    summary = summarize(RunRecord.load(fixture.root, fixture.build(until="evaluate.baseline-base")))
    assert (summary.verdict, summary.paired_test, summary.served_answer) == ("Not decided", None, None)
    assert [row.label for row in summary.scores] == ["Base model with the task prompt"]
    assert "Not reached" in plain_text(summary)
