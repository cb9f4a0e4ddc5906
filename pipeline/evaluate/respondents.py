"""Respondents: how each kind of subject comes to its answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from pipeline.core.context import CallContext
from pipeline.core.errors import ConfigError, DataError
from pipeline.core.models import ModelFiles, model_files
from pipeline.evaluate import backends
from pipeline.evaluate.backends import Advance, Completion, Generator, Question
from pipeline.evaluate.instruction import without_labels
from pipeline.evaluate.items import Item
from pipeline.evaluate.prompts import Task, render_items
from pipeline.render import end_of_turn_ids
from schemas.artifacts import Stored
from schemas.evaluate import GenerationConfig
from schemas.optimize import OptimizeArtifact
from schemas.render import RenderOptions
from schemas.train import BaseModelRef, TrainArtifact

LOCAL_PORTION = 1024
"""Items between two saves of a local model: enough to sort by length, little to repeat."""

PAID_PORTION = 32
"""Items between two saves of an endpoint, whose answers cost money."""


@dataclass
class LocalRespondent:
    """A model loaded here; ``prompts`` are token ids. Each portion has the seed of its first item."""

    prompts: Sequence[list[int]]
    config: GenerationConfig
    open: Callable[[], Generator]
    engine: str
    portion: int = LOCAL_PORTION
    _generator: Generator | None = field(default=None, init=False)

    def answer(self, first: int, last: int, context: CallContext, advance: Advance) -> list[Completion]:
        """Generate the answers to items [first, last)."""
        if self._generator is None:
            context.emit("log", "loading the model")
            self._generator = self.open()
        config = self.config.model_copy(update={"seed": self.config.seed + first})
        return self._generator.generate(self.prompts[first:last], config, context, advance)


@dataclass(frozen=True)
class Endpoint:
    """Where a chat model is; ``key`` of the run description names it in errors, and ``key_name`` its secret."""

    base_url: str
    model: str
    api_key: str | None = field(repr=False)
    key_name: str | None
    key: str
    timeout_seconds: float = 120.0


@dataclass
class EndpointRespondent:
    """A chat model behind an OpenAI-compatible address."""

    endpoint: Endpoint
    questions: Sequence[Question]
    config: GenerationConfig
    engine: str = "OpenAI-compatible endpoint"
    portion: int = PAID_PORTION

    def answer(self, first: int, last: int, context: CallContext, advance: Advance) -> list[Completion]:
        """Ask questions [first, last)."""
        at = self.endpoint
        chat = backends.open_endpoint(
            at.base_url,
            at.model,
            api_key=at.api_key,
            key_name=at.key_name,
            key=at.key,
            timeout_seconds=at.timeout_seconds,
        )
        return chat.answer(self.questions[first:last], self.config, context, advance)


@dataclass(frozen=True)
class LocalModel:
    """What asking a local model needs beside the items; ``chat_template`` is for a tokenizer that has none."""

    files: ModelFiles
    chat_template: str | None
    vllm_cpu_dtype: str | None


def trained_model(
    base: BaseModelRef | None, model: Stored[TrainArtifact] | Stored[OptimizeArtifact] | None
) -> LocalModel:
    """Return what asking a model artifact needs; an adapter also needs its ``base``.

    Raises:
        ConfigError: no model is given.
        ModelError: the base is needed and has no weights.
    """
    if model is None:
        raise ConfigError("the subject is a model and none is given", where="inputs.model", fix="name a model artifact")
    dtype = model.artifact.vllm_dtype if isinstance(model.artifact, OptimizeArtifact) else None
    return LocalModel(model_files(base, model), None, dtype)


def ask_local(
    model: LocalModel, items: Sequence[Item], task: Task, config: GenerationConfig, context: CallContext
) -> LocalRespondent:
    """Render every item for a local model, before its weights are loaded.

    Raises:
        ModelError: the model's files are missing or unreadable.
        RenderError, DataError: see `render_items`.
    """
    tokenizer = backends.open_tokenizer(model.files, None)
    facts = backends.model_facts(model.files)
    options = RenderOptions(chat_template=model.chat_template if tokenizer.chat_template is None else None)
    prompts = render_items(
        items,
        task,
        tokenizer,
        options,
        context_length=facts.context_length,
        max_new_tokens=config.max_new_tokens,
        context=context,
    )
    longest = max(map(len, prompts)) + config.max_new_tokens
    if facts.context_length is not None:
        longest = min(longest, facts.context_length)
    stop_ids = sorted({*end_of_turn_ids(tokenizer, options), *facts.stop_ids})

    def load() -> Generator:
        return backends.open_generator(
            model.files,
            tokenizer,
            config,
            stop_ids=stop_ids,
            context_length=facts.context_length,
            longest=longest,
            vllm_cpu_dtype=model.vllm_cpu_dtype,
        )

    return LocalRespondent(prompts, config, load, backends.engine_name(config))


def ask_instructed(
    model: LocalModel, items: Sequence[Item], task: Task, config: GenerationConfig, context: CallContext
) -> LocalRespondent:
    """Do as `ask_local`; where the instruction's list of labels fills the context the model is asked without it.

    Raises:
        ModelError, RenderError, DataError: see `ask_local`.
    """
    try:
        return ask_local(model, items, task, config, context)
    except DataError:
        shorter = without_labels(task.instruction)
        if shorter == task.instruction:
            raise
        context.warn("the labels do not fit into the base's context beside the questions: it is asked without them")
        return ask_local(model, items, replace(task, instruction=shorter), config, context)
