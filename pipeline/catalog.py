"""The stage table: for each stage its config, inputs, artifact, version, environment and run function.

A stage's version is raised when its result changes for the same config and inputs: stored artifacts of the older
version are then no longer reused.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pipeline.data.stage import run as run_data
from pipeline.evaluate.stage import run as run_evaluate
from pipeline.optimize.stage import run as run_optimize
from pipeline.plan.stage import run as run_plan
from pipeline.registry.stage import run as run_register
from pipeline.serve.stage import run as run_serve
from pipeline.train.stage import run as run_train
from schemas.artifacts import Artifact, Inputs
from schemas.base import Schema, StageName
from schemas.data import DataArtifact, DataConfig, DataInputs
from schemas.evaluate import BaseSubject, EvaluateArtifact, EvaluateConfig, EvaluateInputs, ModelSubject
from schemas.optimize import OptimizeArtifact, OptimizeConfig, OptimizeInputs
from schemas.plan import PlanArtifact, PlanConfig, PlanInputs
from schemas.register import RegisterArtifact, RegisterConfig, RegisterInputs
from schemas.serve import ServeArtifact, ServeConfig, ServeInputs
from schemas.train import TrainArtifact, TrainConfig, TrainInputs

MAIN = "main"
SERVE_VLLM = "serve-vllm"
OPTIMIZE_LEGACY = "optimize-legacy"


@dataclass(frozen=True)
class StageEntry:
    """One stage. ``environment`` names the environment file that a call with this config needs."""

    name: StageName
    config: type[Schema]
    inputs: type[Inputs]
    artifact: type[Artifact]
    version: str
    environment: Callable[[Any], str]
    run: Callable[..., Artifact]


def _main(_config: Schema) -> str:
    return MAIN


def _evaluate_environment(config: EvaluateConfig) -> str:
    generates_here = isinstance(config.subject, (BaseSubject, ModelSubject))
    return SERVE_VLLM if generates_here and config.generation.backend == "vllm" else MAIN


def _optimize_environment(config: OptimizeConfig) -> str:
    return OPTIMIZE_LEGACY if config.variant.backend in ("auto_gptq", "autoawq") else MAIN


def _serve_environment(config: ServeConfig) -> str:
    return SERVE_VLLM if config.engine == "vllm" else MAIN


_ENTRIES = (
    StageEntry("plan", PlanConfig, PlanInputs, PlanArtifact, "2", _main, run_plan),
    StageEntry("data", DataConfig, DataInputs, DataArtifact, "3", _main, run_data),
    StageEntry("train", TrainConfig, TrainInputs, TrainArtifact, "3", _main, run_train),
    StageEntry("evaluate", EvaluateConfig, EvaluateInputs, EvaluateArtifact, "3", _evaluate_environment, run_evaluate),
    StageEntry("optimize", OptimizeConfig, OptimizeInputs, OptimizeArtifact, "1", _optimize_environment, run_optimize),
    StageEntry("serve", ServeConfig, ServeInputs, ServeArtifact, "1", _serve_environment, run_serve),
    StageEntry("register", RegisterConfig, RegisterInputs, RegisterArtifact, "4", _main, run_register),
)

CATALOG: dict[StageName, StageEntry] = {entry.name: entry for entry in _ENTRIES}
"""Every stage by name, in the order of the main job."""
