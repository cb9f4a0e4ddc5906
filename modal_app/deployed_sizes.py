"""How large a deployed app's containers are: by the plan of the run description that ``HONE_MODAL_CONFIG`` names.

The plan is drawn up where the app is deployed, and nowhere else: a container's size was chosen before it started, and
calls of a run are sized by that run's own plan.
"""

from __future__ import annotations

import functools
import sys
import tempfile
from pathlib import Path

import click
import modal

from modal_app.settings import SETTINGS
from pipeline.backends.track_mlflow import MlflowRegistry
from pipeline.control.here import CallerHere
from pipeline.control.session import Session
from pipeline.core.errors import HoneError
from pipeline.core.secrets import visible_secrets
from pipeline.core.spec import read_spec
from pipeline.core.workspace import Store
from pipeline.environments import MAIN
from pipeline.execute import load
from pipeline.plan.placement import placement, stage_placements
from schemas.artifacts import StageCall
from schemas.base import StageName
from schemas.placement import Placement
from schemas.plan import PlanArtifact
from schemas.run import RunSpec

CONFIG = "HONE_MODAL_CONFIG"

_REFERENCE = StageCall(
    id="evaluate.baseline-tfidf",
    stage="evaluate",
    config={"subject": {"kind": "tfidf"}, "metrics": [{"name": "exact_match"}]},
)
"""An evaluation that asks no model."""


def deploying() -> bool:
    """Tell whether this process is ``modal deploy``: not a container, and not another of Modal's commands."""
    context = click.get_current_context(silent=True)
    return modal.is_local() and context is not None and context.info_name == "deploy"


def size(stage: StageName, role: str) -> Placement:
    """Return the hardware of the containers of a stage in the image of ``role``; ``serve`` is that of the endpoint too.

    A description that cannot be planned ends ``modal deploy`` with one line.
    """
    if SETTINGS.config is None or not deploying():
        return placed(stage, role, _any_run(), None)
    return placed(stage, role, *_of_the_config())


def placed(stage: StageName, role: str, spec: RunSpec, plan: PlanArtifact | None) -> Placement:
    """Return where a run's most demanding call of a stage runs, among those that need this role."""
    if (stage, role) == ("evaluate", MAIN):
        return placement(_REFERENCE, plan, spec.hardware, SETTINGS.device)
    if (stage, role) == ("optimize", MAIN):
        spec = spec.model_copy(update={"variants": ()})  # what is left is the merge
    return stage_placements(spec, plan, SETTINGS.device)[stage]


@functools.cache
def _of_the_config() -> tuple[RunSpec, PlanArtifact]:
    assert SETTINGS.config is not None
    try:
        return planned(Path(SETTINGS.config))
    except HoneError as error:
        sys.stderr.write(f"error: {CONFIG}: {error}\n")
        raise SystemExit(int(error.exit_code)) from None


def planned(config: Path) -> tuple[RunSpec, PlanArtifact]:
    """Return a description and its plan.

    Raises:
        HoneError: it cannot be read or planned here.
    """
    spec = read_spec(config)
    with tempfile.TemporaryDirectory(prefix="hone-deploy-") as folder:
        root = Path(folder)
        caller = CallerHere(SETTINGS.device)
        session = Session(root, lambda: MlflowRegistry(root / "mlflow.db"), caller, visible_secrets())
        run = session.resolve(config, for_plan=True)
        ref = session.try_out(run, "plan", lambda _: None, lambda: False)["plan"]
        plan = load(Store(root), ref).artifact
    assert isinstance(plan, PlanArtifact)
    return spec, plan


def _any_run() -> RunSpec:
    """Return a description of which nothing but the defaults matters; it makes every kind of variant."""
    return RunSpec.model_validate(
        {
            "name": "any",
            "task": "generation",
            "base_model": "any",
            "data": {"path": "any"},
            "variants": ["merged", "w4a16"],
        }
    )
