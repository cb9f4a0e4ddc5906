"""A task of lm-evaluation-harness as an evaluation like any other: items, scores, intervals of hone's statistics."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any

from pipeline.core.context import CallContext
from pipeline.core.errors import ConfigError, DataError
from pipeline.core.models import ModelFiles
from pipeline.core.references import open_reference
from pipeline.core.workspace import Workspace
from pipeline.evaluate import backends
from pipeline.evaluate.backends import Completion
from pipeline.evaluate.harness_file import bind, read_task
from pipeline.evaluate.items import Item
from pipeline.evaluate.scoring import NO_INTERVAL, item_clusters
from pipeline.evaluate.table import write_table
from pipeline.statistics import score_interval
from schemas.data import Message
from schemas.evaluate import EndpointSubject, EvaluateArtifact, EvaluateConfig, HarnessConfig, Score

if TYPE_CHECKING:
    from pipeline.evaluate.backends import Sample


def measure(
    config: EvaluateConfig, harness: HarnessConfig, name: str, files: ModelFiles, context: CallContext, out: Workspace
) -> EvaluateArtifact:
    """Ask a model the items of a harness task.

    ``name`` is how reports call the model. Of an endpoint ``files`` has the tokenizer.

    Raises:
        ConfigError, DataError, SourceError: the task cannot be read, built or scored.
        IntegrityError: one of its files changed since the run began.
        ModelError, EngineError: the model cannot be loaded, or its address does not answer.
    """
    context.check()
    context.emit("log", f"asking {harness.task or 'a local task'} by lm-evaluation-harness")
    subject = config.subject
    asked = (
        backends.harness_endpoint(subject, files, config.generation, context)
        if isinstance(subject, EndpointSubject)
        else backends.harness_model(files, config.generation)
    )
    samples = backends.run_harness_task(
        _task(harness), asked, harness, seed=config.seed, cache=out.scratch / "datasets"
    )
    if not samples:
        raise DataError("the task has no items", where="evaluate.harness", fix="check its test split")
    items = _items(samples)
    scores = [sample.score for sample in samples]
    completions = [Completion(sample.prediction, [], "stop", 0, 0) for sample in samples]
    answers = [sample.prediction for sample in samples]
    write_table(out.file("items.parquet"), items, completions, answers, {harness.metric: scores})
    return EvaluateArtifact(
        name=name,
        subject=config.subject,
        split=config.split,
        n=len(items),
        data_digest=sha256("\n".join(sample.digest for sample in samples).encode()).hexdigest(),
        scores={harness.metric: _score(items, scores, config.seed)},
        slices={},
        confusions=(),
        truncated=0,
        prompt_tokens=0,
        completion_tokens=0,
        engine=asked.engine,
    )


def _task(harness: HarnessConfig) -> str | dict[str, Any]:
    if harness.file is None:
        if harness.task is None:
            raise ConfigError("no task is named", where="evaluate.harness", fix="name one")
        return harness.task
    task = read_task(open_reference(harness.file), allow_code=harness.allow_code)
    files = {name: open_reference(reference) for name, reference in harness.files.items()}
    return bind(task, files, backends.load_task_function)


def _items(samples: list[Sample]) -> list[Item]:
    """Return samples as items; those of one document, prompt and target are one cluster."""
    first: dict[str, int] = {}
    return [
        Item(
            id=f"{sample.number}-{sample.digest[:12]}",
            row=sample.number + 1,
            cluster=first.setdefault(sample.digest, place),
            near_train=False,
            prompt=(Message(role="user", content=sample.prompt),),
            tools=None,
            reference=sample.target,
            label=None,
        )
        for place, sample in enumerate(samples)
    ]


def _score(items: list[Item], scores: list[float], seed: int) -> Score:
    clusters = item_clusters(items)
    if clusters is not None and len(set(clusters)) == 1:
        return Score(value=scores[0], low=0.0, high=1.0, n=len(scores), method=NO_INTERVAL)
    found = score_interval(scores, clusters=clusters, seed=seed)
    return Score(value=found.estimate, low=found.low, high=found.high, n=found.n, method=found.method)
