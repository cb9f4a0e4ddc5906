"""A report of a training by rewards shows what its answers earned and were like, and where to look twice."""

from __future__ import annotations

from pipeline.report.layout import lay_out
from pipeline.report.limits import training_limits
from pipeline.report.record import RunRecord
from pipeline.report.report import build_report
from pipeline.report.report_markdown import report_markdown
from pipeline.report.types import LossPoint, Report
from schemas.rl import RewardReport, RewardWarning, RolloutFigures

FIRST = RolloutFigures(
    reward=0.25, rewards={"exact_match": 0.2, "chrf": 0.5}, completion_length=12.5, clipped=0.25, repetition=0.0, kl=0.0
)
LAST = FIRST.model_copy(update={"reward": 0.75, "kl": 0.125, "repetition": 0.4})
WARNED = RewardWarning(step=12, guard="repetition", value=0.4, limit=0.3)
REWARDS = RewardReport(first=FIRST, last=LAST, validation=0.6, warnings=(WARNED,))


def rewarded(record: RunRecord) -> Report:
    report = build_report(record)
    curve = (
        LossPoint(step=1, loss=0.0, eval_loss=None, reward=0.25),
        LossPoint(step=20, loss=0.0, eval_loss=-0.6, reward=0.75),
    )
    training = [item.model_copy(update={"rewards": REWARDS, "curve": curve}) for item in report.training]
    return report.model_copy(update={"training": tuple(training)})


def test_the_table_has_both_ends_and_the_validation(record: RunRecord) -> None:
    text = report_markdown(rewarded(record))
    name = rewarded(record).training[0].name
    assert f"| {name}, first steps | 0.250 | 0.200 | 0.500 | 12.5 | 25.0% | 0.0% | 0.000 |" in text
    assert f"| {name}, last steps | 0.750 | 0.200 | 0.500 | 12.5 | 25.0% | 40.0% | 0.125 |" in text
    assert f"| {name}, greedy on validation | 0.600 |" in text
    assert "mean negative log-likelihood" not in text  # which such losses are not


def test_the_plot_is_of_rewards(record: RunRecord) -> None:
    text = report_markdown(rewarded(record))
    assert "drawn answers from 0.250 at step 1 to 0.750 at step 20" in text
    assert "greedy answers to validation rows from 0.600 at step 20 to 0.600 at step 20" in text


def test_a_guard_that_was_passed_stands_among_the_limitations(record: RunRecord) -> None:
    (model, *_) = record.models.values()
    before = list(training_limits(model.artifact))
    (said,) = [
        limit
        for limit in training_limits(model.artifact.model_copy(update={"rewards": REWARDS}))
        if limit not in before
    ]
    assert said == (
        "In training at step 12, 40% of an answer's 4-grams repeated an earlier one (train.guards.repetition is 0.3): "
        "see whether the reward was gained as it was meant."
    )


def test_other_trainings_look_as_they_did(record: RunRecord) -> None:
    assert lay_out(build_report(record)).details
    assert "mean negative log-likelihood" in report_markdown(build_report(record))
