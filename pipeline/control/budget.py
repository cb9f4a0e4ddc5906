"""What a run has taken of its caps, told to the gate in the call that decides."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.control.caller import Caller
from schemas.artifacts import StageCall
from schemas.plan import Constraints
from schemas.register import BudgetUse


def told_budget(call: StageCall, constraints: Constraints, training_seconds: float, caller: Caller) -> StageCall:
    """Return a register call with the run's budget in its config, any other call as it is.

    Args:
        call: the call that is about to be made.
        constraints: the caps of the run description.
        training_seconds: wall seconds that all trainings of the run took.
        caller: knows what was billed, under the caps that were agreed on when the run was started.
    """
    if call.stage != "register":
        return call
    budget = [use.model_dump(mode="json") for use in _uses(constraints, training_seconds, caller)]
    return call.model_copy(update={"config": {**call.config, "budget": budget}})


def _uses(constraints: Constraints, training_seconds: float, caller: Caller) -> Iterator[BudgetUse]:
    bill = caller.bill()
    if bill is not None:
        caps, spent = bill
        yield BudgetUse(limit="constraints.max_cost", allowed=caps.max_cost, used=round(spent.dollars, 6))
        if caps.max_gpu_hours is not None:
            yield BudgetUse(
                limit="constraints.max_gpu_hours", allowed=caps.max_gpu_hours, used=round(spent.gpu_hours, 6)
            )
    if constraints.max_hours is not None:
        hours = round(training_seconds / 3600, 6)
        yield BudgetUse(limit="constraints.max_hours", allowed=constraints.max_hours, used=hours)
