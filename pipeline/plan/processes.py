"""In how many processes a training runs: one for each GPU that its placement gives it."""

from __future__ import annotations

from pipeline.plan.prices import gpu_named
from schemas.distributed import ALONE, Processes
from schemas.placement import Placement, split_gpu
from schemas.plan import PlanArtifact

MEETING_PORT = 29_400
"""Where the processes of several machines meet; the port after it is the machines' own."""


def training_processes(place: Placement, plan: PlanArtifact | None) -> Processes:
    """Return the processes of a training on ``place``.

    It is tight where the plan finds that one GPU of this type has not the memory for it.
    """
    if place.gpu is None:
        return ALONE
    name = gpu_named(split_gpu(place.gpu)[0]).name
    options = [option for option in plan.hardware if option.gpu == name] if plan is not None else []
    return Processes(
        per_node=place.count,
        nodes=place.nodes,
        tight=any(option.count > 1 or not option.fits for option in options),
        port=MEETING_PORT if place.nodes > 1 else None,
    )
