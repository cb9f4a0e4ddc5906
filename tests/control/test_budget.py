"""What the gate is told of a run's budget."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from pipeline.control.allowance import Amount
from pipeline.control.budget import decides_otherwise, told_budget
from pipeline.control.here import CallerHere
from pipeline.control.ledger import Caps
from pipeline.registry.budget import budget_conditions
from schemas.artifacts import StageCall
from schemas.plan import Constraints
from schemas.register import BudgetUse, Decision

REGISTER = StageCall(id="register", stage="register", config={"name": "tiny", "budget": []})
CONSTRAINTS = Constraints(max_cost=5.0, max_gpu_hours=1.0, max_hours=2.0)


@dataclass(frozen=True)
class Billed(CallerHere):
    """A caller on which the run took a quarter of a dollar and of a GPU-hour."""

    caps: Caps = field(default_factory=lambda: Caps(8.0))

    def bill(self) -> tuple[Caps, Amount]:
        return self.caps, Amount(0.25, 0.25)


def test_where_nothing_is_billed_time_alone_counts() -> None:
    told = told_budget(REGISTER, CONSTRAINTS, 1800.0, CallerHere())
    assert told.config["budget"] == [{"limit": "constraints.max_hours", "allowed": 2.0, "used": 0.5}]
    assert told.config["name"] == "tiny"


def test_money_counts_under_the_caps_that_were_agreed_on() -> None:
    told = told_budget(REGISTER, Constraints(max_cost=5.0), 1800.0, Billed())
    assert told.config["budget"] == [{"limit": "constraints.max_cost", "allowed": 8.0, "used": 0.25}]
    told = told_budget(REGISTER, Constraints(), 1800.0, Billed(caps=Caps(8.0, 1.5)))
    assert told.config["budget"][1] == {"limit": "constraints.max_gpu_hours", "allowed": 1.5, "used": 0.25}


def test_only_the_gate_is_told() -> None:
    data = REGISTER.model_copy(update={"id": "data", "stage": "data"})
    assert told_budget(data, CONSTRAINTS, 1800.0, CallerHere()) is data


def decided(**used: tuple[float, float]) -> Decision:
    """Return a decision on what was ``used`` and allowed of each cap."""
    uses = [BudgetUse(limit=f"constraints.{name}", used=pair[0], allowed=pair[1]) for name, pair in used.items()]
    return Decision(
        verdict="refused" if any(use.used > use.allowed for use in uses) else "promoted",
        better_than_baseline=True,
        target_reached=None,
        best_baseline="base",
        conditions=(),
        budget=tuple(budget_conditions(uses)),
    )


@pytest.mark.parametrize(
    ("caps", "before", "otherwise"),
    [
        ({"max_hours": 1.0}, {"max_hours": (0.5, 1.0)}, False),
        ({"max_hours": 2.0}, {"max_hours": (1.5, 1.0)}, True),  # raised enough
        ({"max_hours": 1.2}, {"max_hours": (1.5, 1.0)}, False),  # raised, and not enough
        ({"max_hours": 0.4}, {"max_hours": (0.5, 1.0)}, True),  # lowered
        ({}, {"max_hours": (1.5, 1.0)}, True),  # removed
        ({}, {"max_hours": (0.5, 1.0)}, False),
        ({"max_hours": 0.4}, {}, True),  # set, and the run took half an hour
        ({"max_hours": 1.0}, {}, False),
        ({}, {"max_cost": (9.0, 5.0)}, False),  # nothing is billed here: it stays as it was decided
    ],
)
def test_caps_that_changed_are_decided_on_again(
    caps: dict[str, float], before: dict[str, tuple[float, float]], otherwise: bool
) -> None:
    call = told_budget(REGISTER, Constraints.model_validate(caps), 1800.0, CallerHere())
    assert decides_otherwise(call, decided(**before)) is otherwise


def test_what_the_decision_itself_took_decides_nothing() -> None:
    # A quarter of a dollar is billed by now; the decision was made when 0.2 were.
    call = told_budget(REGISTER, Constraints(), 0.0, Billed(caps=Caps(0.22)))
    assert not decides_otherwise(call, decided(max_cost=(0.2, 0.22)))
    assert decides_otherwise(call, decided(max_cost=(0.21, 0.2)))
    # A cap on GPU-hours that was removed is not told where dollars are.
    assert decides_otherwise(call, decided(max_cost=(0.2, 0.22), max_gpu_hours=(2.0, 1.0)))
