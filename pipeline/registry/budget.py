"""The budget as conditions: what the run took of each cap that it has."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pipeline.core.numbers import amount
from schemas.register import BudgetUse, Condition

_UNITS = {
    "constraints.max_cost": "US dollars",
    "constraints.max_gpu_hours": "GPU-hours",
    "constraints.max_hours": "hours of training",
}


def budget_conditions(uses: Sequence[BudgetUse]) -> Iterator[Condition]:
    """Yield one condition per cap, which holds where no more was used than is allowed."""
    for use in uses:
        kept = use.used <= use.allowed
        yield Condition(
            name=f"budget.{use.limit.removeprefix('constraints.')}",
            estimate=use.used,
            threshold=use.allowed,
            passed=kept,
            text=f"The run took {amount(use.used)} of {amount(use.allowed)} {_UNITS[use.limit]} ({use.limit})"
            f"{'' if kept else ': more than it may; raise the cap if it is worth it, and run again'}.",
        )
