"""The serve stage: start the engine, compare it with training and evaluation, stop it, keep what was tried."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from pipeline.core.context import CallContext
from pipeline.core.errors import ConfigError
from pipeline.core.models import ModelFiles, model_files
from pipeline.core.workspace import Workspace, write_record
from pipeline.serve import backends
from pipeline.serve.front import write_front
from pipeline.serve.launch import LAUNCH_FILE, Places
from pipeline.serve.parity import Comparison, Expected, chat_request, compare, expectations, write_comparisons
from pipeline.serve.process import LOOPBACK, free_port, start_engine
from schemas.artifacts import Stored
from schemas.optimize import OptimizeArtifact
from schemas.render import RenderOptions
from schemas.serve import EngineOptions, LaunchDescription, ServeArtifact, ServeConfig, ServeInputs
from schemas.train import TrainArtifact

PARITY_FILE = "parity.jsonl"

STOP_SECONDS = 2.0
"""Nobody waits for an answer when the checks are done, so the engine gets little time to clean up after itself."""


def run(config: ServeConfig, inputs: ServeInputs, context: CallContext, workspace: Workspace) -> ServeArtifact:
    """Serve ``inputs.model`` for as long as the checks take.

    Raises:
        EngineError: the engine does not start or does not answer.
        ConfigError: the engine does not load this variant here.
        IntegrityError: evaluation and data do not belong together.
    """
    files = model_files(config.base, inputs.model)
    tokenizer = backends.tokenizer(files)
    expected = expectations(inputs.data, inputs.evaluation, tokenizer, RenderOptions(), config.prompts)
    if config.generation.temperature > 0:
        context.warn("the evaluation's answers were sampled, the served ones are greedy: they will differ")
    front = write_front(workspace.output, files, tokenizer)
    launch = _describe(config, inputs, files, expected[0], front=front)
    write_record(workspace.file(LAUNCH_FILE), launch.model_dump(mode="json"))
    places = Places(files, workspace.output, LOOPBACK, free_port())
    with start_engine(launch, places, python=sys.executable, grace=STOP_SECONDS) as engine:
        with context.progress(f"start {launch.engine} {launch.engine_version}", 1) as advance:
            engine.wait_until_ready(context.check)
            advance(1)
        extra = backends.token_ids_request(launch.engine)
        found = list(compare(engine.client, launch.served_model_name, expected, config.generation, context, extra))
        smoke = engine.client.chat(launch.smoke_request)
        ready_seconds = engine.ready_seconds
    write_comparisons(workspace.file(PARITY_FILE), found)
    return ServeArtifact(
        engine=launch.engine,
        engine_version=launch.engine_version,
        launch=LAUNCH_FILE,
        prompts=len(found),
        prompt_mismatches=prompt_mismatches(found),
        answer_mismatches=sum(not comparison.answer_equal for comparison in found),
        smoke_prompt=str(expected[0].messages[-1].get("content", "")),
        smoke_answer=smoke.text,
        ready_seconds=ready_seconds,
    )


def _describe(
    config: ServeConfig, inputs: ServeInputs, files: ModelFiles, first: Expected, *, front: bool
) -> LaunchDescription:
    """Return how the configured engine serves the model; ``first`` becomes the smoke request.

    Raises:
        ConfigError: vLLM's CPU build does not load this variant, and no dtype is given.
    """
    request = backends.EngineRequest(
        files=files,
        served_model_name=config.served_model_name,
        options=config.options,
        cpu_dtype=cpu_dtype(inputs.model, config.options),
        front=front,
        smoke_request=chat_request(first, config.generation),
    )
    return backends.describe(config.engine, request)


def cpu_dtype(model: Stored[TrainArtifact] | Stored[OptimizeArtifact], options: EngineOptions) -> str:
    """Return the dtype that ``auto`` means for a model on a CPU.

    Raises:
        ConfigError: none is known for this variant, and none is given.
    """
    artifact = model.artifact
    dtype = artifact.vllm_dtype if isinstance(artifact, OptimizeArtifact) else "float32"
    if dtype is None and options.dtype == "auto":
        raise ConfigError(
            "no dtype is known in which this variant can be served on a CPU",
            where="serve.options.dtype",
            fix="give one, or serve another variant",
        )
    return dtype or options.dtype


def prompt_mismatches(found: Sequence[Comparison]) -> int | None:
    """Return how many prompts were read differently; None where one could not be compared."""
    if any(comparison.prompt_equal is None for comparison in found):
        return None
    return sum(not comparison.prompt_equal for comparison in found)
