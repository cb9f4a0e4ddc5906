"""A model that learned from another one says so among its limitations."""

from __future__ import annotations

from pipeline.report.limits import training_limits
from pipeline.report.record import RunRecord
from schemas.base import Reference
from schemas.base_model import BaseModelRef
from schemas.distillation import TaughtReport

TEACHER = BaseModelRef(name="large@champion", weights=Reference(location="/large", digest="a" * 64))


def test_whose_answers_were_trained_on_stands_among_the_limitations(record: RunRecord) -> None:
    (model, *_) = record.models.values()
    before = list(training_limits(model.artifact))
    taught = TaughtReport(questions=300, answers=1200, kept=280, cut=3, reward=0.5)
    answers = list(training_limits(model.artifact.model_copy(update={"teacher": TEACHER, "taught": taught})))
    assert [limit for limit in answers if limit not in before] == [
        "The training answers are those of large@champion, not of the data: 280 of its 1,200 answers to 300 questions."
    ]
    probabilities = list(training_limits(model.artifact.model_copy(update={"teacher": TEACHER})))
    assert [limit for limit in probabilities if limit not in before] == [
        "It was trained towards the probabilities of large@champion, whatever is wrong with them."
    ]
