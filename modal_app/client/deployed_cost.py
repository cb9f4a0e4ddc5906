"""What a deployed app costs: while nobody uses it, and at most. ``modal deploy`` tells it before anything is sent.

Counted are containers at the prices of pipeline/plan/prices.py; what Volumes hold, Modal bills beside that.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from modal_app import cluster, endpoint, service
from modal_app.functions import FUNCTIONS
from modal_app.serving.api_key import KEY, checked
from modal_app.settings import SETTINGS
from modal_app.sizes import deploying, size
from pipeline.control.allowance import dollars
from pipeline.core.errors import ConfigError
from pipeline.plan.machine import Machine
from pipeline.plan.placement import orchestration
from pipeline.plan.prices import PRICES_DATED
from schemas.base import StageName
from schemas.placement import Placement

HOUR, DAY = 3600, 86_400

ON_A_CPU = ("prepare_run", "prepare_retraining_run", "control_run", "collect_garbage", "move_champion", "push_version")
"""The app's own functions."""

_SHOWN = 4


@dataclass(frozen=True)
class Deployed:
    """A deployed function or server: what it takes, how many containers it may have, and how many stay while idle."""

    name: str
    placement: Placement
    most: int
    kept: int = 0

    @property
    def an_hour(self) -> float:
        """US dollars while all its containers run."""
        return self.most * self.placement.dollars_per_second * HOUR

    def __str__(self) -> str:
        return f"{self.name} {dollars(self.an_hour)} ({self.most} x {self.placement.gpu or 'CPU'})"


def deployed() -> tuple[Deployed, ...]:
    """Return everything that `modal_app.main.app` consists of."""
    workers = SETTINGS.workers
    return (
        *(Deployed(_name(stage, role), size(stage, role), workers) for stage, role in FUNCTIONS),
        *([Deployed("train cluster", cluster.placement(), workers)] if cluster.CLUSTER is not None else []),
        *(Deployed(name, orchestration(), workers) for name in ON_A_CPU),
        Deployed("Endpoint", endpoint.placement(), endpoint.MOST_CONTAINERS),
        Deployed("webhook", _of_the_webhook(), 1),
    )


def _name(stage: StageName, role: str) -> str:
    alike = [other for other, _ in FUNCTIONS if other == stage]
    return stage if len(alike) == 1 else f"{stage} by {role}"


def _of_the_webhook() -> Placement:
    return Machine((), service.CORES, service.MEMORY_MIB, HOUR).placed()


def cost_lines(parts: Sequence[Deployed]) -> Iterable[str]:
    """Yield what ``parts`` cost, in words."""
    idle = sum(part.kept * part.placement.dollars_per_second for part in parts) * DAY
    kept = [part.name for part in parts if part.kept]
    stay = f"{', '.join(kept)} stay" if kept else "no container stays"
    yield f"idle: {dollars(idle)} a day ({stay}; Modal bills what the Volumes hold beside that)"
    most = sum(part.an_hour for part in parts)
    dearest = sorted(parts, key=lambda part: part.an_hour, reverse=True)
    named = ", ".join(map(str, dearest[:_SHOWN]))
    rest = f", {len(parts) - _SHOWN} others" if len(parts) > _SHOWN else ""
    yield f"at most: {dollars(most)} an hour, while all that may run does: {named}{rest} (prices of {PRICES_DATED})"


def before_deploying() -> None:
    """In ``modal deploy``, refuse a weak key where it is seen, and tell what will be deployed costs; else do nothing.

    A Secret's values cannot be read; where the key is in this command's environment too, it is seen here.
    """
    if not deploying():
        return
    try:
        if os.environ.get(KEY):
            checked(os.environ[KEY])
    except ConfigError as error:
        sys.stderr.write(f"error: {error}\n")
        raise SystemExit(int(error.exit_code)) from None
    for line in cost_lines(deployed()):
        print(line, flush=True)  # noqa: T201 - the command's output
