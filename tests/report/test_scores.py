"""How subjects are called in plain words."""

from __future__ import annotations

import pytest

from pipeline.core.workspace import Store
from pipeline.execute import load
from pipeline.report.record import RunRecord
from pipeline.report.scores import subjects
from schemas.evaluate import BaseSubject, Subject, TfidfSubject
from tests.support.run_fixture import RunFixture


@pytest.mark.parametrize(
    ("subject", "metric", "title"),
    [
        (BaseSubject(instruction="Make a record"), "exact_match", "Base model with the task prompt"),
        (BaseSubject(), "exact_match", "Base model without a task prompt"),
        (TfidfSubject(), "exact_match", "TF-IDF and logistic regression"),
        (TfidfSubject(), "json_exact_match", "TF-IDF and logistic regression, field by field"),
    ],
)
def test_a_baseline_is_called_by_what_it_was_told(
    fixture: RunFixture, subject: Subject, metric: str, title: str
) -> None:
    run = fixture.build(until="evaluate.baseline-base")
    found = load(Store(fixture.root), fixture.refs["evaluate.baseline-base"]).artifact
    scores = {metric: found.scores["exact_match"]}
    fixture.describe("evaluate.baseline-base", found.model_copy(update={"subject": subject, "scores": scores}))
    assert [found.title for found in subjects(RunRecord.load(fixture.root, run))] == [title]


def test_one_seed_needs_no_number(record: RunRecord) -> None:
    assert [found.title for found in subjects(record) if found.role == "tuned"] == ["Tuned model"]
