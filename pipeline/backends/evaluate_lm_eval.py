"""Tasks of lm-evaluation-harness: its prompts, its filters, its scores per item, of a model loaded here or served."""

from __future__ import annotations

import logging
import random
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

from pipeline.backends.bars import no_bars
from pipeline.backends.model_transformers import load_causal_lm, read_facts
from pipeline.backends.openai_http import OpenAIAddress
from pipeline.backends.tokenizer_transformers import load_tokenizer
from pipeline.core.context import CallContext
from pipeline.core.errors import ConfigError, DataError, SourceError
from pipeline.core.models import ModelFiles
from schemas.evaluate import GenerationConfig, HarnessOptions

_LEAST_CHOICES = 2
_CONTEXT = 2048
"""Tokens where a model states no length."""


@dataclass(frozen=True)
class Sample:
    """One document: its number and digest, what was asked and expected, what came, and its score."""

    number: int
    digest: str
    prompt: str
    target: str
    prediction: str
    score: float


@dataclass(frozen=True)
class Asked:
    """A model to be asked: its name with that of what runs it, and what opens it for lm_eval."""

    engine: str
    open: Callable[[], Any]


def loaded_here(files: ModelFiles, generation: GenerationConfig) -> Asked:
    """Return a model that transformers loads; opening it raises ModelError where it cannot be."""

    def open_() -> Any:
        from lm_eval.models.huggingface import HFLM

        tokenizer: Any = _tokenizer(files)
        model = load_causal_lm(files, dtype=generation.dtype)
        return HFLM(pretrained=model, tokenizer=tokenizer, batch_size=generation.batch_size)

    return Asked(f"lm_eval {version('lm_eval')}, transformers {version('transformers')}", open_)


def served_at(at: OpenAIAddress, files: ModelFiles, generation: GenerationConfig, context: CallContext) -> Asked:
    """Return a model behind a completions address; of ``files`` only the tokenizer and the config are read."""

    def open_() -> Any:
        from pipeline.backends.evaluate_lm_eval_endpoint import EndpointLM

        length = read_facts(files).context_length or _CONTEXT
        return EndpointLM(at, _tokenizer(files), length, generation.batch_size, context)

    return Asked(f"lm_eval {version('lm_eval')}, OpenAI-compatible endpoint", open_)


def _tokenizer(files: ModelFiles) -> Any:
    return load_tokenizer(
        files.tokenizer,
        revision=files.revision if files.tokenizer == files.weights else None,
        trust_remote_code=files.trust_remote_code,
    )


def run_task(
    task: str | Mapping[str, Any],
    asked: Asked,
    options: HarnessOptions,
    *,
    seed: int,
    cache: Path,
) -> list[Sample]:
    """Ask a model the items of one task and return them, each with its score by ``options.metric``.

    Args:
        task: a name that lm_eval knows, or a task's keys with paths and functions in place.
        asked: the model; lengths and stops of answers are the task's own.
        options: how it is asked.
        seed: of few-shot examples and of sampling.
        cache: where the data of a local task are kept while they are read.

    Raises:
        ConfigError: there is no such task, metric or filter, or it is none of a single item in [0, 1].
        SourceError: the task's data cannot be had.
        ModelError, EngineError: the model cannot be loaded, or its address does not answer.
    """
    local = not isinstance(task, str)
    templates = _sandboxed() if local and not options.allow_code else _as_they_are()
    with no_bars(), _quiet(), templates, _told_of_templates(_name(task)):
        loaded = _load(task, options, seed, cache)
        name, found = next(iter(loaded["tasks"].items()))
        _check_metric(name, found, options)
        lm = asked.open()
        _seed(seed)
        samples = _evaluate(lm, loaded, options)[name]
    return _samples(name, samples, options)


def _evaluate(lm: Any, loaded: Any, options: HarnessOptions) -> dict[str, list[dict[str, Any]]]:
    from lm_eval.evaluator import evaluate

    results = evaluate(
        lm=lm,
        task_dict=loaded,
        limit=options.limit,
        bootstrap_iters=0,
        log_samples=True,
        apply_chat_template=options.apply_chat_template,
        confirm_run_unsafe_code=options.allow_code,
    )
    assert results is not None
    return results["samples"]


def load_function(path: Path, name: str) -> Callable[..., Any]:
    """Return a function of a user's file, run under a private module name.

    Raises:
        ConfigError: the file raises, or has no such function.
    """
    source = path.read_bytes()
    module = ModuleType(f"_hone_task_{sha256(source).hexdigest()[:16]}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module
    try:
        exec(compile(source, str(path), "exec", dont_inherit=True), module.__dict__)  # noqa: S102
        function = getattr(module, name)
    except (Exception, SystemExit) as error:
        raise ConfigError(
            f"the task's code raised {type(error).__name__}: {error}", where=f"{path}: {name}", fix="repair the file"
        ) from error
    if not callable(function):
        raise ConfigError("this is no function", where=f"{path}: {name}", fix="name a function in the task file")
    found: Callable[..., Any] = function
    return found


def _load(task: str | Mapping[str, Any], options: HarnessOptions, seed: int, cache: Path) -> Any:
    """Return the one task as lm_eval's evaluator takes it, with few-shot examples as its own entry point sets them."""
    from lm_eval.tasks import TaskManager

    asked: Any
    if isinstance(task, str):
        manager = TaskManager()
        asked = task
        if task not in manager.all_subtasks:
            raise _unknown(task, manager)
    else:
        manager = TaskManager(include_defaults=False)
        arguments = {"cache_dir": str(cache), **(task.get("dataset_kwargs") or {})}
        asked = {**task, "dataset_kwargs": arguments}
        _check_metric_names(task)
    try:
        loaded = manager.load([asked])
    except OSError as error:
        raise SourceError(
            f"the task's data cannot be had: {error}", where=_name(task), fix="check the files, or the connection"
        ) from error
    except (ValueError, TypeError, KeyError, AttributeError, RuntimeError) as error:
        raise ConfigError(
            f"lm_eval cannot build this task: {type(error).__name__}: {error}",
            where=_name(task),
            fix="correct the task",
        ) from error
    for found in loaded["tasks"].values():
        own = found.get_config("num_fewshot")
        if options.num_fewshot is not None and own == 0 and options.num_fewshot != 0:
            raise ConfigError(
                "the task itself says num_fewshot: 0, which lm_eval never changes",
                where=f"{_name(task)}: num_fewshot",
                fix="remove the key from evaluate.harness, or from the task",
            )
        if options.num_fewshot is not None or own is None:
            found.set_config(key="num_fewshot", value=options.num_fewshot or 0)
        found.set_fewshot_seed(seed=seed)
    return loaded


def _name(task: str | Mapping[str, Any]) -> str:
    return task if isinstance(task, str) else str(task["task"])


def _unknown(task: str, manager: Any) -> ConfigError:
    from difflib import get_close_matches

    if task in manager.all_groups or task in manager.all_tags:
        return ConfigError(
            "this names several tasks", where=f"evaluate.harness: {task}", fix="name its tasks one by one"
        )
    near = get_close_matches(task, manager.all_subtasks, n=1)
    return ConfigError(
        "lm_eval has no such task",
        where=f"evaluate.harness: {task}",
        fix=f"did you mean {near[0]}?" if near else "see lm_eval ls tasks, or name a YAML file",
    )


def _check_metric_names(task: Mapping[str, Any]) -> None:
    """Refuse metrics that lm_eval has not: it would look for a script of the Hub and run it."""
    import lm_eval.api.metrics  # noqa: F401
    from lm_eval.api.registry import metric_registry

    for metric in task.get("metric_list") or ():
        name = metric.get("metric") if isinstance(metric, dict) else metric
        if isinstance(name, str) and name not in metric_registry:
            raise ConfigError(
                f"lm_eval has no metric {name}", where=f"{_name(task)}: metric_list", fix="use one of its own"
            )


def _check_metric(name: str, task: Any, options: HarnessOptions) -> None:
    from lm_eval.api.metrics import mean

    aggregations = task.aggregation()
    means = sorted(metric for metric, how in aggregations.items() if how is mean)
    if options.metric not in means:
        has = "is no mean over items" if options.metric in aggregations else "is none of this task's metrics"
        raise ConfigError(
            f"{options.metric} {has}",
            where=f"evaluate.harness: {name}: metric",
            fix=f"use one of {', '.join(means)}" if means else "this task has no metric that is one",
        )


def _samples(name: str, found: list[dict[str, Any]], options: HarnessOptions) -> list[Sample]:
    filters = list(dict.fromkeys(sample["filter"] for sample in found))
    chosen = options.filter or filters[0]
    if chosen not in filters:
        raise ConfigError(
            f"the task has no filter {chosen}",
            where=f"evaluate.harness: {name}: filter",
            fix=f"use one of {', '.join(filters)}",
        )
    return [_sample(name, sample, options.metric) for sample in found if sample["filter"] == chosen]


def _sample(name: str, sample: dict[str, Any], metric: str) -> Sample:
    value: Any = sample.get(metric)
    if isinstance(value, bool) or not hasattr(value, "__float__") or not 0.0 <= float(value) <= 1.0:
        raise DataError(
            f"{metric} of document {sample['doc_id']} is {value!r}, not a number in [0, 1]",
            where=f"evaluate.harness: {name}",
            fix="choose another metric of the task",
        )
    asked = sample["arguments"]
    answers = sample["filtered_resps"]
    if len(asked) >= _LEAST_CHOICES and all(isinstance(answer, (tuple, list)) for answer in answers):
        best = max(range(len(asked)), key=lambda place: answers[place][0])
        prediction, target = asked[best][1].strip(), sample["target"]
        if isinstance(target, int) and target < len(asked):
            target = asked[target][1].strip()
    else:
        prediction, target = answers[0], sample["target"]
    digest = sha256("\0".join([sample["doc_hash"], sample["prompt_hash"], sample["target_hash"]]).encode()).hexdigest()
    return Sample(sample["doc_id"], digest, str(asked[0][0]), str(target), str(prediction), float(value))


def _seed(seed: int) -> None:
    import numpy as np
    import torch

    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


@contextmanager
def _told_of_templates(name: str) -> Iterator[None]:
    """Turn what jinja2 raises inside this block into an error of the task."""
    from jinja2 import TemplateError

    try:
        yield
    except TemplateError as error:
        raise DataError(
            f"a template cannot be filled in: {error}",
            where=f"evaluate.harness: {name}",
            fix="correct the task's templates, or the documents that lack what they name",
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep lm_eval's remarks on its own defaults out of the run's output; its errors stay."""
    logger = logging.getLogger("lm_eval")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


@contextmanager
def _as_they_are() -> Iterator[None]:
    yield


@contextmanager
def _sandboxed() -> Iterator[None]:
    """Render templates in jinja2's sandbox inside this block: a plain one lets a template reach any Python object."""
    from jinja2.sandbox import ImmutableSandboxedEnvironment
    from lm_eval import utils

    plain = utils.env
    sandbox = ImmutableSandboxedEnvironment(
        loader=plain.loader, undefined=plain.undefined, keep_trailing_newline=plain.keep_trailing_newline
    )
    sandbox.filters.update(plain.filters)
    utils.env = sandbox
    try:
        yield
    finally:
        utils.env = plain
