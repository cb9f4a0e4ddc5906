"""`hone harness`: a task of lm-evaluation-harness, asked of a model that is served."""

from __future__ import annotations

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from pipeline.core.digests import DigestCache
from pipeline.core.errors import ModelError, SourceError
from pipeline.core.models import ModelFiles
from pipeline.core.workspace import Workspace
from pipeline.evaluate.harness import measure
from pipeline.evaluate.harness_file import harness_config
from schemas.base import Reference
from schemas.evaluate import EvaluateConfig, MetricSpec

if TYPE_CHECKING:
    from pipeline.core.context import CallContext
    from schemas.evaluate import EndpointSubject, EvaluateArtifact, GenerationConfig, HarnessOptions


def ask_endpoint(
    task: str,
    options: HarnessOptions,
    endpoint: EndpointSubject,
    tokenizer: Path,
    generation: GenerationConfig,
    *,
    seed: int,
    table: Path,
    context: CallContext,
) -> EvaluateArtifact:
    """Ask the model behind an address the items of a task, and write one row per item to ``table``.

    Args:
        task: a name that lm_eval knows, or a YAML file.
        options: how it is asked.
        endpoint: the address and the model.
        tokenizer: the folder of the model that is served, for its tokenizer and context length.
        generation: ``batch_size`` requests are under way at most.
        seed: of few-shot examples and intervals.
        table: a Parquet file.
        context: progress and secrets.

    Raises:
        ConfigError, DataError, SourceError: the task cannot be read, built or scored, or the address is wrong.
        ModelError: the folder has no tokenizer.
        EngineError: the address does not answer as completions do.
    """
    if not (tokenizer / "config.json").is_file():
        raise ModelError(
            "the folder holds no config.json", where=f"--tokenizer {tokenizer}", fix="name the folder of the model"
        )
    cache = DigestCache(None)
    harness = harness_config(task, options, lambda text: _reference(Path(text), cache), cache.digest)
    metrics = (MetricSpec(name=options.metric),)
    config = EvaluateConfig(subject=endpoint, metrics=metrics, generation=generation, harness=harness, seed=seed)
    files = ModelFiles(str(tokenizer), None, None, str(tokenizer), False)
    with TemporaryDirectory() as temporary:
        output, scratch = Path(temporary) / "output", Path(temporary) / "scratch"
        output.mkdir()
        scratch.mkdir()
        found = measure(config, harness, endpoint.model, files, context, Workspace(output=output, scratch=scratch))
        shutil.copyfile(output / found.items, table)
    return found


def _reference(path: Path, cache: DigestCache) -> Reference:
    if not path.is_file():
        raise SourceError("no such file", where=str(path), fix="check the path, or name one of lm_eval's tasks")
    return Reference(location=str(path.resolve()), digest=cache.digest(path))
