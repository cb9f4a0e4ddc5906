"""The stage table: for each stage its config, inputs, artifact, version, environment and run function.

A stage's version is raised when its result changes for the same config and inputs: stored artifacts of the older
version are then no longer reused.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, assert_never

from pipeline.data.stage import run as run_data
from pipeline.environments import MAIN, environment_for
from pipeline.evaluate.bias.stage import run as run_bias
from pipeline.evaluate.judge.stage import run as run_judge
from pipeline.evaluate.stage import run as run_evaluate
from pipeline.optimize.stage import run as run_optimize
from pipeline.plan.stage import run as run_plan
from pipeline.registry.stage import run as run_register
from pipeline.serve.stage import run as run_serve
from pipeline.train.stage import run as run_train
from schemas.artifacts import Artifact, Inputs
from schemas.base import Device, Schema, StageName
from schemas.bias import BiasArtifact, BiasConfig, BiasInputs
from schemas.data import DataArtifact, DataConfig, DataInputs
from schemas.evaluate import BaseSubject, EvaluateArtifact, EvaluateConfig, EvaluateInputs, ModelSubject
from schemas.judge import JudgeArtifact, JudgeConfig, JudgeInputs
from schemas.optimize import OptimizeArtifact, OptimizeConfig, OptimizeInputs
from schemas.plan import PlanArtifact, PlanConfig, PlanInputs
from schemas.register import RegisterArtifact, RegisterConfig, RegisterInputs
from schemas.serve import ServeArtifact, ServeConfig, ServeInputs
from schemas.train import TrainArtifact, TrainConfig, TrainInputs

TRAIN = "train"
OPTIMIZE_LLMCOMPRESSOR = "optimize-llmcompressor"
SERVE_VLLM = "serve-vllm"
OPTIMIZE_LEGACY = "optimize-legacy"


@dataclass(frozen=True)
class StageEntry:
    """One stage.

    ``role`` names the environment that a call with this config needs, ``gpu`` tells whether it gains from a GPU.
    """

    name: StageName
    config: type[Schema]
    inputs: type[Inputs]
    artifact: type[Artifact]
    version: str
    role: Callable[[Any], str]
    gpu: Callable[[Any], bool]
    run: Callable[..., Artifact]

    def environment(self, config: Schema, offered: Device = "cpu") -> tuple[str, Device]:
        """Return the environment that a call with this config needs, and the device that it is built for.

        ``offered`` is what the runner has; a call that gains nothing from a GPU takes none.
        """
        device: Device = offered if self.gpu(config) else "cpu"
        return environment_for(self.role(config), device), device


def _main(_config: Schema) -> str:
    return MAIN


def _train(_config: Schema) -> str:
    return TRAIN


def _never(_config: Schema) -> bool:
    return False


def _always(_config: Schema) -> bool:
    return True


def _generates(config: EvaluateConfig) -> bool:
    """Tell whether a model is loaded where GPUs are used; lm_eval is in the main environment, which has none."""
    return config.harness is None and isinstance(config.subject, (BaseSubject, ModelSubject))


def _evaluate_role(config: EvaluateConfig) -> str:
    if not _generates(config):
        return MAIN
    return SERVE_VLLM if config.generation.backend == "vllm" else TRAIN


def _bias_role(config: BiasConfig) -> str:
    return SERVE_VLLM if config.generation.backend == "vllm" else TRAIN


def _optimize_role(config: OptimizeConfig) -> str:
    match config.variant.backend:
        case "auto_gptq" | "autoawq":
            return OPTIMIZE_LEGACY
        case "llmcompressor":
            return OPTIMIZE_LLMCOMPRESSOR
        case "merge":
            return MAIN
        case other:
            assert_never(other)


def _quantizes(config: OptimizeConfig) -> bool:
    return config.variant.backend != "merge"


def _serve_role(config: ServeConfig) -> str:
    return SERVE_VLLM if config.engine == "vllm" else TRAIN


_ENTRIES = (
    StageEntry("plan", PlanConfig, PlanInputs, PlanArtifact, "8", _main, _never, run_plan),
    StageEntry("data", DataConfig, DataInputs, DataArtifact, "14", _main, _never, run_data),
    StageEntry("train", TrainConfig, TrainInputs, TrainArtifact, "10", _train, _always, run_train),
    StageEntry(
        "evaluate", EvaluateConfig, EvaluateInputs, EvaluateArtifact, "16", _evaluate_role, _generates, run_evaluate
    ),
    StageEntry(
        "optimize", OptimizeConfig, OptimizeInputs, OptimizeArtifact, "1", _optimize_role, _quantizes, run_optimize
    ),
    StageEntry("bias", BiasConfig, BiasInputs, BiasArtifact, "5", _bias_role, _always, run_bias),
    StageEntry("judge", JudgeConfig, JudgeInputs, JudgeArtifact, "4", _main, _never, run_judge),
    StageEntry("serve", ServeConfig, ServeInputs, ServeArtifact, "2", _serve_role, _always, run_serve),
    StageEntry("register", RegisterConfig, RegisterInputs, RegisterArtifact, "13", _main, _never, run_register),
)

CATALOG: dict[StageName, StageEntry] = {entry.name: entry for entry in _ENTRIES}
"""Every stage by name, in the order of the main job."""
