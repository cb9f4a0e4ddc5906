"""What the first page says of a budget that the plan does not keep, and of libraries that are archived."""

from __future__ import annotations

from pipeline.report.limits import archived_limits, budget_limits
from pipeline.report.record import RunRecord
from schemas.optimize import Variant


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
