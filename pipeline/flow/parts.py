"""What the steps of a run have in common: calls, finished artifacts by name, and which model goes on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from schemas.artifacts import InputRefs, StageCall, Stored
from schemas.base import ArtifactRef, Schema, StageName
from schemas.plan import PlanArtifact
from schemas.resolved import ResolvedRetention, ResolvedRun
from schemas.run import TRAINED
from schemas.train import TrainArtifact

Finished = Mapping[str, Stored[Any]]
"""Finished artifacts by call id."""


def call(
    call_id: str, stage: StageName, config: Schema, **inputs: ArtifactRef | dict[str, ArtifactRef] | None
) -> StageCall:
    """Return a call; an input that is None is left out."""
    given: InputRefs = {name: refs for name, refs in inputs.items() if refs is not None}
    return StageCall(id=call_id, stage=stage, config=config.model_dump(mode="json"), inputs=given)


def refs(finished: Finished, prefix: str, suffix: str = "") -> dict[str, ArtifactRef]:
    """Return artifacts by what stands between ``prefix`` and ``suffix`` in their call ids."""
    return {
        call_id.removeprefix(prefix).removesuffix(suffix): stored.ref
        for call_id, stored in finished.items()
        if call_id.startswith(prefix) and call_id.endswith(suffix)
    }


def decided(finished: Finished) -> Any:
    """Return what the plan decided."""
    artifact = finished["plan"].artifact
    assert isinstance(artifact, PlanArtifact)
    return artifact.decisions


def retention_data(task: ResolvedRetention, finished: Finished) -> ArtifactRef | None:
    """Return the data of one of the base's own tasks, None while it is not there or where it needs none."""
    if task.artifact is not None:
        return task.artifact
    stored = finished.get(f"data.retention-{task.name}")
    return None if stored is None else stored.ref


def shipped_seed(run: ResolvedRun, finished: Finished) -> int | None:
    """Return the seed whose model goes on: the lowest validation loss, the first seed where none was measured.

    None while a seed is still training. The test split has no say in it.
    """
    seeds = run.spec.train.seeds
    if any(f"train.seed-{seed}" not in finished for seed in seeds):
        return None

    def loss(seed: int) -> float:
        artifact = finished[f"train.seed-{seed}"].artifact
        assert isinstance(artifact, TrainArtifact)
        return artifact.eval_loss if artifact.eval_loss is not None else float("inf")

    return min(seeds, key=loss)


def served_variant(run: ResolvedRun) -> str:
    """Return which form is served."""
    return run.spec.served_variant


def served_model(run: ResolvedRun, finished: Finished) -> Stored[Any] | None:
    """Return the artifact of the form that is served, None while it is not there."""
    seed, variant = shipped_seed(run, finished), served_variant(run)
    if seed is None:
        return None
    return finished.get(f"train.seed-{seed}" if variant in TRAINED else f"optimize.{variant}")


def served_evaluation(run: ResolvedRun, finished: Finished) -> Stored[Any] | None:
    """Return the evaluation of the form that is served, None while it is not there."""
    seed, variant = shipped_seed(run, finished), served_variant(run)
    if seed is None:
        return None
    return finished.get(f"evaluate.seed-{seed}" if variant in TRAINED else f"evaluate.variant-{variant}")
