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
        "Tuned model, seed 0",
        0.9,
        0.6990,
        0.9721,
        20,
    )
    assert summary.paired_test is not None and "exact McNemar, p < 0.001, n = 20" in summary.paired_test
    assert [row.label for row in summary.retention] == ["commands, before", "commands, after"]
    # 15/20 - 16/20
    assert summary.retention[1].change == "-5.0 points against base"
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


def test_an_unfinished_run_has_a_summary(fixture: RunFixture) -> None:
    summary = summarize(RunRecord.load(fixture.root, fixture.build(until="evaluate.baseline-base")))
    assert (summary.verdict, summary.paired_test, summary.served_answer) == ("Not decided", None, None)
    assert [row.label for row in summary.scores] == ["Base model with the task prompt"]
    assert "Not reached" in plain_text(summary)
