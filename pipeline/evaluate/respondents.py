"""Respondents: how each kind of subject comes to its answers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace

from pipeline.core.context import CallContext
from pipeline.core.errors import DataError
from pipeline.evaluate import backends
from pipeline.evaluate.backends import Advance, Completion, Generator, Likelihood, Question
from pipeline.evaluate.instruction import without_labels
from pipeline.evaluate.items import Item
from pipeline.evaluate.local_model import LocalModel
from pipeline.evaluate.prompts import Task, render_items, render_references
from pipeline.metrics.measure import Needs
from schemas.evaluate import GenerationConfig

LOCAL_PORTION = 1024
"""Items between two saves of a local model: enough to sort by length, little to repeat."""

PAID_PORTION = 32
"""Items between two saves of an endpoint, whose answers cost money."""


@dataclass
class LocalRespondent:
    """A model loaded here; ``prompts`` are token ids. Each portion has the seed of its first item.

    ``references`` are the questions and expected answers as training would see them, where they were asked for.
    """

    prompts: Sequence[list[int]]
    config: GenerationConfig
    open: Callable[[], Generator]
    engine: str
    portion: int = LOCAL_PORTION
    references: Sequence[tuple[list[int], list[int]]] = ()
    _generator: Generator | None = field(default=None, init=False)

    def answer(self, first: int, last: int, context: CallContext, advance: Advance) -> list[Completion]:
        """Generate the answers to items [first, last)."""
        config = self.config.model_copy(update={"seed": self.config.seed + first})
        return self._loaded(context).generate(self.prompts[first:last], config, context, advance)

    def score(
        self, prompts: Sequence[list[int]], continuations: Sequence[list[int]], context: CallContext, label: str
    ) -> list[Likelihood]:
        """Return how likely the model finds each continuation of its prompt."""
        model = self._loaded(context)
        with context.progress(f"scoring {label}", len(prompts)) as advance:
            return model.score(
                prompts, continuations, batch_size=self.config.batch_size, context=context, advance=advance
            )

    def _loaded(self, context: CallContext) -> Generator:
        if self._generator is None:
            context.emit("log", "loading the model")
            self._generator = self.open()
        return self._generator


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


def ask_local(
    model: LocalModel,
    items: Sequence[Item],
    task: Task,
    config: GenerationConfig,
    context: CallContext,
    *,
    measures: Collection[Needs] = (),
) -> LocalRespondent:
    """Render every item for a local model, before its weights are loaded.

    ``measures`` says what of the model's probabilities will be asked for.

    Raises:
        ModelError: the model's files are missing or unreadable.
        RenderError, DataError: see `render_items`.
    """
    opened = model.open()
    limit = opened.facts.context_length
    prompts = render_items(
        items,
        task,
        opened.tokenizer,
        opened.options,
        context_length=limit,
        max_new_tokens=config.max_new_tokens,
        context=context,
    )
    references: list[tuple[list[int], list[int]]] = []
    if "references" in measures:
        references = render_references(items, task, opened.tokenizer, opened.options, context_length=limit)
    longest = max(map(len, prompts)) + config.max_new_tokens
    if measures:  # and one more, which vLLM generates after what it scores
        longest = 1 + max([longest, *(len(prompt) + len(answer) for prompt, answer in references)])
    if limit is not None:
        longest = min(longest, limit)
    engine = backends.engine_name(config)
    return LocalRespondent(prompts, config, lambda: opened.load(config, longest), engine, references=references)


def ask_instructed(
    model: LocalModel,
    items: Sequence[Item],
    task: Task,
    config: GenerationConfig,
    context: CallContext,
    *,
    measures: Collection[Needs] = (),
) -> LocalRespondent:
    """Do as `ask_local`; where the instruction's list of labels fills the context the model is asked without it.

    Raises:
        ModelError, RenderError, DataError: see `ask_local`.
    """
    try:
        return ask_local(model, items, task, config, context, measures=measures)
    except DataError:
        shorter = without_labels(task.instruction)
        if shorter == task.instruction:
            raise
        context.warn("the labels do not fit into the base's context beside the questions: it is asked without them")
        return ask_local(model, items, replace(task, instruction=shorter), config, context, measures=measures)
