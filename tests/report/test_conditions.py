"""The gate's conditions as people read them."""

from __future__ import annotations

import pytest

from pipeline.report.conditions import statements
from pipeline.report.record import RunRecord
from schemas.register import Condition, RegisterArtifact

WAIVED = "the base was made for this task alone"


def decided(record: RunRecord, *conditions: Condition) -> RegisterArtifact:
    assert record.register is not None
    made = record.register.artifact
    return made.model_copy(update={"decision": made.decision.model_copy(update={"conditions": conditions})})


def gain(low: float, high: float, name: str = "gain", passed: bool = False, threshold: float = 0.0) -> Condition:
    return Condition(
        name=name,
        estimate=(low + high) / 2,
        low=low,
        high=high,
        threshold=threshold,
        n=1200,
        passed=passed,
        text="seed-0 ...",
    )


@pytest.mark.parametrize(
    ("condition", "text"),
    [
        (
            gain(0.5, 0.7, passed=True),
            "Better than the best baseline: +60.0 points (interval +50.0 to +70.0, n = 1,200)",
        ),
        (gain(-1.0, -0.96), "Worse than the best baseline: -98.0 points (interval -100.0 to -96.0, n = 1,200)"),
        (
            gain(-0.01, 0.03),
            "Not shown to be better than the best baseline: +1.0 points (interval -1.0 to +3.0, n = 1,200)",
        ),
        (
            gain(0.01, 0.03, threshold=0.05),
            (
                "Better than the best baseline, by less than the +5.0 points that were wanted: +2.0 points "
                "(interval +1.0 to +3.0, n = 1,200)"
            ),
        ),
    ],
)
def test_better_worse_and_neither_are_told_apart(record: RunRecord, condition: Condition, text: str) -> None:
    [statement] = statements(decided(record, condition), None)
    assert statement.text == text


def test_the_served_form_is_told_beside_the_model_once(record: RunRecord) -> None:
    same = statements(decided(record, gain(0.5, 0.7, passed=True), gain(0.5, 0.7, "gain.merged", passed=True)), None)
    assert [statement.text for statement in same] == [
        "Better than the best baseline: +60.0 points (interval +50.0 to +70.0, n = 1,200)"
    ]
    [other] = statements(decided(record, gain(0.5, 0.7, passed=True), gain(-0.1, 0.1, "gain.merged")), None)
    assert other.outcome == "not met"
    assert other.text == (
        "Not shown to be better than the best baseline: +60.0 points (interval +50.0 to +70.0, n = 1,200), "
        "and as served +0.0 points (interval -10.0 to +10.0, n = 1,200)"
    )


def test_a_waived_condition_is_not_met_but_waived_with_its_reason(record: RunRecord) -> None:
    unmeasured = Condition(name="retention", estimate=None, threshold=None, passed=True, text="waived")
    [statement] = statements(decided(record, unmeasured), WAIVED)
    assert (statement.outcome, statement.text) == ("waived", WAIVED)
    measured = Condition(
        name="retention.commands", estimate=-0.05, low=-0.3, threshold=-0.2, passed=False, required=False, text="..."
    )
    [statement] = statements(decided(record, measured), WAIVED)
    assert statement.outcome == "waived"
    assert (
        statement.text == f"{WAIVED} (commands 80.0% before, 75.0% after; -5.0 points, interval -30.0 to +15.0, n = 20)"
    )


def test_variants_that_held_are_named_together_and_others_apart(record: RunRecord) -> None:
    held = Condition(name="variant.merged", estimate=0.0, low=-0.01, threshold=-0.02, passed=True, text="...")
    lost = Condition(name="variant.w4a16", estimate=-0.05, low=-0.1, threshold=-0.02, passed=False, text="...")
    first, second = statements(decided(record, held, lost), None)
    # 17/20 against 18/20
    assert first.text == (
        "w4a16 is worse than the model that it comes from: 85.0% against 90.0% (-5.0 points, interval "
        "-30.0 to +15.0, n = 20); the loss may be 10.0 points, at most 2.0 points are allowed"
    )
    assert (second.outcome, second.text) == ("met", "As good as the model that they come from: merged")


def test_what_is_protected_and_unharmed_is_said_once(record: RunRecord) -> None:
    kept = [
        Condition(name=f"protected.{name}", estimate=0.0, low=-0.1, high=0.1, threshold=0.0, passed=True, text="...")
        for name in ("metric.macro_f1", "slice.clean")
    ]
    [statement] = statements(decided(record, *kept), None)
    assert statement.text == (
        "Not significantly worse than the best baseline in what is protected: macro_f1 and slice clean"
    )
    many = [kept[0], *(kept[1].model_copy(update={"name": f"protected.slice.{name}"}) for name in "abcdefghijk")]
    [statement] = statements(decided(record, *many), None)
    assert statement.text.endswith("macro_f1, slice a, slice b, slice c, slice d, slice e, slice f, slice g and 4 more")
    harmed = kept[1].model_copy(update={"passed": False, "text": "seed-0 is worse."})
    assert [one.outcome for one in statements(decided(record, kept[0], harmed), None)] == ["not met", "met"]
