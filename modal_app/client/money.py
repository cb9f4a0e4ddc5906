"""What is asked before money is spent: the cap of a run, and what a deployed app may cost."""

from __future__ import annotations

import sys

from pipeline.control.allowance import dollars
from pipeline.control.ledger import default_cap
from pipeline.core.errors import UsageError
from schemas.plan import Constraints, PlanArtifact


def planned_dollars(plan: PlanArtifact) -> float:
    """Return what the plan's recommended hardware is estimated to cost, in US dollars."""
    return next((option.dollars for option in plan.hardware if option.gpu == plan.recommended_gpu), 0.0)


def agree_on_cap(plan: PlanArtifact, constraints: Constraints, max_cost: float | None, *, yes: bool) -> float:
    """Return the most that the run may cost: the option's, the description's, or a default that somebody agrees to.

    Raises:
        UsageError: there is no cap, nobody to ask, and no ``--yes``; or the answer was no.
    """
    given = max_cost if max_cost is not None else constraints.max_cost
    if given is not None:
        return given
    cap = default_cap(planned_dollars(plan))
    if yes:
        return cap
    fix = "give constraints.max_cost, --max-cost, or --yes"
    question = f"this run has no cap; stop it at {dollars(cap)}?"
    if not sys.stdin.isatty():
        raise UsageError(question.replace("?", " only with --yes"), where="constraints.max_cost", fix=fix)
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise UsageError("not started", where="constraints.max_cost", fix=fix)
    return cap
