"""The evaluate stage: items, answers, scores, one table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from pipeline.core.context import CallContext
from pipeline.core.errors import ConfigError
from pipeline.core.examples import read_examples
from pipeline.core.models import ModelFiles, model_files
from pipeline.core.workspace import Workspace, hash_file
from pipeline.evaluate.answers import Respondent, collect
from pipeline.evaluate.backends import Completion, Question
from pipeline.evaluate.harness import measure
from pipeline.evaluate.items import Item, as_item, load_items, split_path
from pipeline.evaluate.local_model import LocalModel, trained_model
from pipeline.evaluate.measuring import load_measures, measure_all
from pipeline.evaluate.mistakes import find_confusions
from pipeline.evaluate.prompts import Task, conversation, draw_shots
from pipeline.evaluate.ranking import by_likelihood, by_reward, check_pairs
from pipeline.evaluate.references import ReferenceRespondent
from pipeline.evaluate.respondents import Endpoint, EndpointRespondent, ask_instructed, ask_local
from pipeline.evaluate.scoring import load_metrics, score_all
from pipeline.evaluate.slices import slice_places
from pipeline.evaluate.table import write_table
from pipeline.evaluate.weak_slices import weak_slices
from pipeline.metrics.measure import Needs
from pipeline.metrics.reasoning import answer_of
from schemas.artifacts import Stored
from schemas.data import DataArtifact
from schemas.evaluate import (
    BaseSubject,
    EndpointSubject,
    EvaluateArtifact,
    EvaluateConfig,
    EvaluateInputs,
    ModelSubject,
    Subject,
    TfidfSubject,
)
from schemas.methods import METHODS
from schemas.train import TrainArtifact


def run(config: EvaluateConfig, inputs: EvaluateInputs, context: CallContext, workspace: Workspace) -> EvaluateArtifact:
    """Ask one subject every item of one split and score the answers.

    Raises:
        ConfigError: a metric, the subject or its key is wrong.
        DataError: the split is empty, a row cannot be asked or scored.
        ModelError, RenderError, EngineError, OutOfMemory: the model cannot be loaded, asked, or does not fit.
    """
    if config.harness is not None:
        files = _harness_files(config, inputs)
        return measure(config, config.harness, subject_name(config.subject), files, context, workspace)
    data = _data(inputs)
    metrics = load_metrics(config.metrics, data.artifact.labels)
    items = load_items(data, config.split, config.max_items)
    _tell_left_out(data, config, len(items), context)
    if config.ranks:
        check_pairs(items)
    respondent = _open(config, inputs, items, context)
    name = subject_name(config.subject)
    completions = collect(respondent, len(items), workspace.scratch, context, f"evaluate {name}")
    answers = _answers(config, completions, items)
    parts = slice_places(items)
    scored = {}
    for key, metric in metrics.items():
        with context.progress(f"score {key}", len(items)) as advance:
            scored[key] = score_all(metric, items, answers, config.seed, parts, advance)
    scores = {key: found.items for key, found in scored.items()}
    write_table(workspace.file("items.parquet"), items, completions, answers, scores, parts)
    deciding = next(iter(scored.values()))
    measured = measure_all(config, respondent, items, completions, deciding.items, context)
    slices = deciding.slices
    weak = weak_slices(items, deciding.items, parts, higher_is_better=next(iter(metrics.values())).higher_is_better)
    return EvaluateArtifact(
        name=name,
        subject=config.subject,
        split=config.split,
        n=len(items),
        data_digest=hash_file(split_path(data, config.split)),
        scores={key: found.overall for key, found in scored.items()},
        slices={part: {key: found.slices[part] for key, found in scored.items()} for part in slices},
        confusions=find_confusions(items, answers),
        truncated=sum(completion.finish_reason == "length" for completion in completions),
        prompt_tokens=sum(completion.prompt_tokens for completion in completions),
        completion_tokens=sum(completion.completion_tokens for completion in completions),
        engine=respondent.engine,
        weak=weak,
        measures=measured.figures,
        reliability=measured.reliability,
    )


def subject_name(subject: Subject) -> str:
    """Return how reports call a subject: ``base``, ``base few-shot 3``, ``model``, ``tfidf``, an endpoint's model."""
    match subject:
        case BaseSubject():
            return f"base few-shot {subject.few_shot}" if subject.few_shot else "base"
        case EndpointSubject():
            return f"{subject.model} few-shot {subject.few_shot}" if subject.few_shot else subject.model
        case ModelSubject() | TfidfSubject():
            return subject.kind
        case unknown:
            assert_never(unknown)


def _open(config: EvaluateConfig, inputs: EvaluateInputs, items: list[Item], context: CallContext) -> Respondent:
    if config.ranks:
        return _rank(config, inputs, items)
    subject = config.subject
    match subject:
        case BaseSubject():
            base = LocalModel(model_files(config.base), config.chat_template, None)
            task = _task(subject, config, inputs)
            return ask_instructed(base, items, task, config.generation, context, measures=_needs(config))
        case ModelSubject():
            model = trained_model(config.base, inputs.model)
            return ask_local(model, items, Task(), config.generation, context, measures=_needs(config))
        case EndpointSubject():
            key = context.secret(subject.api_key_secret) if subject.api_key_secret else None
            task = _task(subject, config, inputs)
            at = Endpoint(subject.base_url, subject.model, key, subject.api_key_secret, "evaluate.baselines.endpoint")
            questions = [Question(conversation(item, task), item.tools) for item in items]
            return EndpointRespondent(at, questions, config.generation)
        case TfidfSubject():
            return ReferenceRespondent(_train_items(inputs), items)
        case unknown:
            assert_never(unknown)


def _tell_left_out(data: Stored[DataArtifact], config: EvaluateConfig, items: int, context: CallContext) -> None:
    rows = data.artifact.rows[config.split]
    left_out = min(rows, config.max_items or rows) - items
    if left_out:
        context.warn(f"{left_out} rows are not asked: their answers are not desirable, so none tells what is right")


def _rank(config: EvaluateConfig, inputs: EvaluateInputs, items: list[Item]) -> Respondent:
    match config.subject:
        case BaseSubject():
            base = LocalModel(model_files(config.base), config.chat_template, None)
            return by_likelihood(base, items, config.generation)
        case ModelSubject():
            model, artifact = trained_model(config.base, inputs.model), inputs.model.artifact if inputs.model else None
            scores = isinstance(artifact, TrainArtifact) and METHODS[artifact.method].scores
            return (by_reward if scores else by_likelihood)(model, items, config.generation)
        case other:
            raise ConfigError(f"{other.kind} prefers no answer", where="subject", fix="ask a model")


def _answers(config: EvaluateConfig, completions: Sequence[Completion], items: Sequence[Item]) -> list[str]:
    """Return what is scored: answers without their reasoning, and preferred answers as they are."""
    if config.ranks:
        return [completion.text for completion in completions]
    return [answer_of(completion.text, item.reference) for completion, item in zip(completions, items, strict=True)]


def _needs(config: EvaluateConfig) -> set[Needs]:
    return {measure.needs for measure in load_measures(config.measures).values()}


def _harness_files(config: EvaluateConfig, inputs: EvaluateInputs) -> ModelFiles:
    match config.subject:
        case BaseSubject():
            return model_files(config.base)
        case ModelSubject():
            return trained_model(config.base, inputs.model).files
        case other:
            raise ConfigError(f"a harness task is not asked of {other.kind}", where="subject", fix="ask a model")


def _data(inputs: EvaluateInputs) -> Stored[DataArtifact]:
    if inputs.data is None:
        raise ConfigError("there are no items", where="inputs.data", fix="name a data artifact")
    return inputs.data


def _task(subject: BaseSubject | EndpointSubject, config: EvaluateConfig, inputs: EvaluateInputs) -> Task:
    if not subject.few_shot:
        return Task(subject.instruction)
    answered = [item for item in _train_items(inputs) if not item.calls_only]
    return Task(subject.instruction, draw_shots(answered, subject.few_shot, config.seed))


def _train_items(inputs: EvaluateInputs) -> list[Item]:
    examples = read_examples(split_path(_data(inputs), "train"))
    return [as_item(example) for example in examples if example.desirable is not False]
