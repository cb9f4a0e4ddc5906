"""Where the stages of a planned run would run on Modal, and what may not go well there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.core.errors import ConfigError
from pipeline.plan.doubts import doubts
from pipeline.plan.placement import stage_placements
from schemas.base import Device, StageName
from schemas.placement import Placement
from schemas.plan import PlanArtifact
from schemas.run import RunSpec


@dataclass(frozen=True)
class Places:
    """The hardware of each stage's most demanding call, empty where nothing holds the model; doubts in words."""

    stages: Mapping[StageName, Placement]
    doubts: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Return both as data."""
        placements = {stage: place.model_dump(mode="json") for stage, place in self.stages.items()}
        return {"placements": placements, "doubts": list(self.doubts)}


def places_of(plan: PlanArtifact, spec: RunSpec, device: Device) -> Places:
    """Return where a run of ``spec`` goes by its plan; stages that it does not have are left out.

    On device ``cpu`` nothing is doubted: what the description says of GPUs does not count there.
    """
    said = tuple(doubts(plan, spec.hardware)) if device == "cuda" else ()
    try:
        found = stage_placements(spec, plan, device)
    except ConfigError as error:
        return Places({}, (*said, str(error)))
    absent: set[StageName] = set()
    if not spec.variants:
        absent.add("optimize")
    if not spec.evaluate.bias:
        absent.add("bias")
    if spec.evaluate.judge is None:
        absent.add("judge")
    if spec.serve is False:
        absent.add("serve")
    return Places({stage: place for stage, place in found.items() if stage not in absent}, said)
