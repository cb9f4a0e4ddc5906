"""What the first page says of a budget that the plan does not keep, and of libraries that are archived."""

from __future__ import annotations

from pipeline.report.limits import archived_limits, budget_limits, preflight_limits
from pipeline.report.record import RunRecord
from schemas.optimize import Variant
from schemas.preflight import Finding


def test_a_broken_budget_stands_among_the_limitations(record: RunRecord) -> None:
    assert record.plan is not None
    plan = record.plan.artifact
    assert list(budget_limits(plan)) == []
    broken = "constraints.max_cost allows 0.0001 US dollars; 1 x T4 would take 0.0446"
    (said,) = budget_limits(plan.model_copy(update={"over_budget": (broken,)}))
    assert said.endswith(f": {broken}.") and "nothing is billed" in said


def test_archived_libraries_stand_among_the_limitations() -> None:
    (said,) = archived_limits(Variant.model_validate(name) for name in ("merged", "w4a16", "gptq-4bit"))
    assert said.startswith("gptq-4bit is made by auto-gptq, which is archived upstream")
    assert "its loss includes" in said


def test_what_the_preflight_was_told_to_ignore_stays_among_the_limitations(record: RunRecord) -> None:
    assert record.data is not None
    data = record.data.artifact
    assert list(preflight_limits(data)) == []
    ignored = Finding(code="joined_prompt", severity="error", split="train", count=1, rows=(4,), ignored=True)
    warned = Finding(code="exact_duplicate", severity="warning", split="train", count=2, rows=(2, 3), done="removed")
    said = list(preflight_limits(data.model_copy(update={"findings": (warned, ignored)})))
    silenced = "joined_prompt: a token joins the prompt and the answer, which no prompt at inference can (train, row 4)"
    assert said == [
        f"Ignored by the description (preflight.ignore), {silenced}.",
        "The preflight warned of 1 fault: exact_duplicate.",
    ]
