"""The serve stage.

An engine is started, checked against the training render, stopped; a tried launch description stays.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from schemas.artifacts import Artifact, Inputs, Stored
from schemas.base import NotFingerprinted, RelativePath, Schema
from schemas.base_model import BaseModelRef
from schemas.data import DataArtifact
from schemas.evaluate import EvaluateArtifact, GenerationConfig
from schemas.optimize import OptimizeArtifact
from schemas.train import TrainArtifact

Engine = Literal["vllm", "transformers"]

LORA_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""The values that vLLM 0.32 takes for ``--max-lora-rank`` (``vllm.config.lora.MaxLoRARanks``, from 8 on), ascending."""


class EngineOptions(Schema):
    """Engine settings under vLLM's names; null leaves the engine's default."""

    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    max_model_len: Annotated[int, Field(gt=0)] | None = None
    max_num_seqs: Annotated[int, Field(gt=0)] | None = None
    gpu_memory_utilization: Annotated[float, Field(gt=0.0, le=1.0)] | None = None
    enforce_eager: bool = False


ANSWERS_PER_MISMATCH = 10
"""An answer that differs is let pass only among this many."""


class ParityOptions(Schema):
    """How much of the served model is compared with training and evaluation.

    ``prompts`` test prompts; prompt token ids must all be equal; ``max_answer_mismatches`` greedy answers may differ,
    and no more than one in `ANSWERS_PER_MISMATCH` of those that were compared.
    """

    prompts: Annotated[int, Field(gt=0)] = 50
    max_answer_mismatches: Annotated[int, Field(ge=0)] = 1

    @model_validator(mode="after")
    def _enough_prompts(self) -> ParityOptions:
        needed = ANSWERS_PER_MISMATCH * self.max_answer_mismatches
        if self.prompts < needed:
            raise ValueError(f"max_answer_mismatches {self.max_answer_mismatches} needs {needed} prompts or more")
        return self


class ServeConfig(Schema):
    """Config of the serve stage. ``prompts`` is that of `ParityOptions`."""

    engine: Engine = "vllm"
    options: EngineOptions = EngineOptions()
    prompts: Annotated[int, Field(gt=0)] = 50
    generation: GenerationConfig = GenerationConfig()
    base: BaseModelRef
    served_model_name: str


class ServeInputs(Inputs):
    """``evaluation`` is that of the same model on the test split; its answers are compared with the served ones."""

    model: Stored[TrainArtifact] | Stored[OptimizeArtifact]
    data: Stored[DataArtifact]
    evaluation: Stored[EvaluateArtifact]


class LaunchDescription(Schema):
    """How to bring this model up; file ``launch.json`` of the artifact.

    Arguments and environment for an engine, with ``{model}``, ``{base}``, ``{host}``, ``{port}`` and ``{launch}`` (the
    folder that holds this description) left open. ``module`` is run as ``python -m``.
    """

    engine: Engine
    engine_version: str
    module: str
    arguments: tuple[str, ...]
    environment: dict[str, str]
    served_model_name: str
    adapter: bool
    smoke_request: dict[str, object]


class ServeArtifact(Artifact):
    """What the serve stage leaves.

    Files: ``launch.json``, ``parity.jsonl`` (one line per prompt), ``tokenizer/`` where the weights' own does not hold.

    ``prompt_mismatches`` is null where the engine returns no prompt token ids: then parity was not measured.
    """

    engine: Engine
    engine_version: str
    launch: RelativePath = "launch.json"
    prompts: int
    prompt_mismatches: int | None
    answer_mismatches: int
    smoke_prompt: str
    smoke_answer: str
    ready_seconds: Annotated[float, NotFingerprinted()]
