"""What a run has taken of its caps, told to the gate in the call that decides."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.control.caller import Caller
from schemas.artifacts import StageCall
from schemas.plan import Constraints
from schemas.register import BudgetUse, Decision


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


def decides_otherwise(call: StageCall, decision: Decision) -> bool:
    """Return whether the budget that a register call is told decides otherwise than it did in a stored decision.

    What was used then counts, not what was used since: the caps may have been raised, lowered, set or removed. What the
    runner does not bill stays as it was decided.
    """
    told = {use.limit: use for use in (BudgetUse.model_validate(use) for use in call.config["budget"])}
    held = {f"constraints.{condition.name.removeprefix('budget.')}": condition for condition in decision.budget}
    for limit, use in told.items():
        before = held.get(limit)
        used = use.used if before is None or before.estimate is None else before.estimate
        if (used <= use.allowed) != (before is None or before.passed):
            return True
    known = {"constraints.max_hours"} | ({"constraints.max_gpu_hours"} if "constraints.max_cost" in told else set())
    return any(limit in known - told.keys() and not condition.passed for limit, condition in held.items())


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
