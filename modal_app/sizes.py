"""How large the functions of a deployed app are: by the plan of the description that ``HONE_MODAL_CONFIG`` names.

Only ``modal deploy`` declares sizes. The calls of a run take what that run's own plan asks for, whatever is declared
here; and a container does not look, for its size was chosen before it started.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import modal

from modal_app.settings import SETTINGS
from pipeline.catalog import CATALOG
from pipeline.core.errors import as_hone_error
from pipeline.environments import MAIN
from pipeline.plan.placement import placement, stage_placements
from schemas.artifacts import StageCall
from schemas.base import Reference, StageName
from schemas.base_model import BaseModelRef
from schemas.optimize import PRESETS, OptimizeConfig, Variant
from schemas.placement import MOST_SECONDS, Placement
from schemas.plan import PlanArtifact
from schemas.run import RunSpec

CONFIG = "HONE_MODAL_CONFIG"

_REFERENCE = StageCall(
    id="evaluate.baseline-tfidf",
    stage="evaluate",
    config={"subject": {"kind": "tfidf"}, "metrics": [{"name": "exact_match"}]},
)
"""An evaluation that asks no model."""

_BASE = BaseModelRef(name="any", weights=Reference(location="any"))
_ANY = RunSpec.model_validate({"name": "any", "task": "generation", "base_model": "any", "data": {"path": "any"}})
"""A base and a description of which nothing but the defaults matters."""


def deploying() -> bool:
    """Tell whether this process is ``modal deploy``: no container, and no other of Modal's commands."""
    if not modal.is_local():
        return False
    import click  # of Modal's command, which a container need not have

    context = click.get_current_context(silent=True)
    return context is not None and context.info_name == "deploy"


def declared(stage: StageName, role: str) -> dict[str, Any]:
    """Return the resources that a stage's function in the image of ``role`` is declared with.

    Without a description it has no GPU: it is declared for whatever will be asked of it.
    """
    if SETTINGS.config is None or not deploying():
        return {"timeout": MOST_SECONDS}
    place = size(stage, role)
    gpu = list(place.gpus) if place.fallbacks else place.gpu
    return {"gpu": gpu, "cpu": place.cpu, "memory": place.memory, "timeout": place.timeout}


def size(stage: StageName, role: str) -> Placement:
    """Return where the most demanding call of a stage that needs ``role`` runs; ``serve`` is the endpoint's as well.

    By the description's plan where there is one, else by what is usual. A description that cannot be planned ends the
    process with one line.
    """
    if SETTINGS.config is None or not deploying():
        return placed(stage, role, _ANY, None)
    try:
        return placed(stage, role, *_described(SETTINGS.config))
    except Exception as error:  # noqa: BLE001 - the boundary: no traceback reaches a user
        known = as_hone_error(error)
        _tell(f"error: {CONFIG}: {known}")
        raise SystemExit(int(known.exit_code)) from None


def placed(stage: StageName, role: str, spec: RunSpec, plan: PlanArtifact | None) -> Placement:
    """Return where the most demanding call of a stage that needs ``role`` runs in a run of ``spec``.

    Raises:
        ConfigError: no GPU type holds the model, and the description names none.
    """
    if stage == "optimize":
        return _optimizing(role, spec, plan)
    if (stage, role) == ("evaluate", MAIN):
        return placement(_REFERENCE, plan, spec.hardware, SETTINGS.device)
    return stage_placements(spec, plan, SETTINGS.device)[stage]


def _optimizing(role: str, spec: RunSpec, plan: PlanArtifact | None) -> Placement:
    """Return where the most demanding variant that this role makes is made.

    A merge is planned whether it is asked for or not, since quantizers work on what it leaves. For a quantizer that
    nobody asks for it is what is usual.
    """
    asked = _made_in(role, (variant.made() for variant in spec.variants))
    known = _made_in(role, map(Variant.model_validate, PRESETS))
    if not asked and role != MAIN:
        plan = None
    found = (placement(call, plan, spec.hardware, SETTINGS.device) for call in asked or known)
    return max(found, key=lambda place: (place.dollars_per_second, place.memory))


def _made_in(role: str, variants: Iterable[Variant]) -> list[StageCall]:
    """Return the calls of those variants that ``role`` makes."""
    configs = (OptimizeConfig(variant=variant, base=_BASE) for variant in variants)
    return [
        StageCall(id=f"optimize.{config.variant.name}", stage="optimize", config=config.model_dump(mode="json"))
        for config in configs
        if CATALOG["optimize"].role(config) == role
    ]


@functools.cache
def _described(config: str) -> tuple[RunSpec, PlanArtifact]:
    from modal_app.deployed_plan import plan_description  # needs what no container waits for

    return plan_description(Path(config), lambda words: _tell(f"warning: {CONFIG}: {words}"))


def _tell(line: str) -> None:
    sys.stderr.write(f"{line}\n")
