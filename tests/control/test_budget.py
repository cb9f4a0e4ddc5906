"""What the gate is told of a run's budget."""

from __future__ import annotations

from dataclasses import dataclass, field

from pipeline.control.allowance import Amount
from pipeline.control.budget import told_budget
from pipeline.control.here import CallerHere
from pipeline.control.ledger import Caps
from schemas.artifacts import StageCall
from schemas.plan import Constraints

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
