"""What probes have in common: a model that can be asked, the items that it is asked, and what is found in them."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pipeline.core.context import CallContext
from pipeline.core.errors import DataError, RenderError
from pipeline.core.references import open_reference
from pipeline.evaluate.answers import collect
from pipeline.evaluate.backends import Completion, Likelihood, load_label_scorer
from pipeline.evaluate.bias.figures import Values
from pipeline.evaluate.bias.likelihoods import Text, likelihoods
from pipeline.evaluate.items import Item
from pipeline.evaluate.local_model import LocalModel
from pipeline.evaluate.prompts import Task
from pipeline.evaluate.respondents import ask_instructed
from pipeline.metrics.reasoning import answer_of
from schemas.artifacts import Stored
from schemas.bias import BiasConfig, ClassifierOptions
from schemas.data import DataArtifact, Message

T = TypeVar("T")


@dataclass(frozen=True)
class Found:
    """What a probe found.

    ``rows`` are those of ``items.parquet``, with ``cluster`` and ``group`` among their keys. ``values`` are what each
    of them says, by figure. ``asked`` is what the digest of the items is made of; ``completions`` are all answers, for
    their tokens.
    """

    rows: Sequence[Mapping[str, Any]]
    values: Values
    asked: Sequence[str]
    engine: str
    completions: Sequence[Completion] = ()


@dataclass(frozen=True)
class Probing:
    """One call of the stage, as a probe sees it."""

    config: BiasConfig
    model: LocalModel
    data: Stored[DataArtifact] | None
    scratch: Path
    context: CallContext

    def path(self, key: str) -> Path:
        """Return a file or folder that the probe names.

        Raises:
            IntegrityError: it changed since the run began.
        """
        return open_reference(self.config.files[key])

    def sample(self, items: Sequence[T], most: int | None) -> list[T]:
        """Return ``most`` of ``items``, in their order: the same for every model."""
        if most is None or most >= len(items):
            return list(items)
        drawn = random.Random(self.config.seed).sample(range(len(items)), most)  # noqa: S311 - a sample, no secret
        return [items[place] for place in sorted(drawn)]

    def ask(self, prompts: Sequence[str], name: str) -> tuple[list[Completion], list[str], str]:
        """Return what the model says to each prompt, its answers without reasoning, and the engine's name.

        Raises:
            ModelError, RenderError, DataError, EngineError, OutOfMemory: as an evaluation.
        """
        items = [_item(number, prompt) for number, prompt in enumerate(prompts, start=1)]
        try:
            return self.ask_items(items, Task(), name)
        except (DataError, RenderError) as error:  # it names rows of a split, which these are not
            where = f"evaluate.bias.{self.config.probe.name}, {str(error.where).replace('source row', 'prompt')}"
            raise type(error)(error.message, where=where, fix=error.fix) from error

    def ask_items(self, items: Sequence[Item], task: Task, name: str) -> tuple[list[Completion], list[str], str]:
        """Return the same for items of a split."""
        respondent = ask_instructed(self.model, items, task, self.config.generation, self.context)
        scratch = self.scratch / name
        scratch.mkdir(parents=True, exist_ok=True)
        completions = collect(respondent, len(items), scratch, self.context, f"{self.config.probe.name}: {name}")
        answers = [
            answer_of(completion.text, item.reference) for completion, item in zip(completions, items, strict=True)
        ]
        return completions, answers, respondent.engine

    def likelihoods(self, texts: Sequence[Text]) -> tuple[list[Likelihood], str]:
        """Return how likely the model finds each text, and the engine's name.

        Raises:
            ModelError, RenderError, DataError, EngineError, OutOfMemory: see `likelihoods`.
        """
        label = f"{self.config.probe.name}: likelihoods"
        return likelihoods(self.model, texts, self.config.generation, self.context, label)

    def classify(self, classifier: ClassifierOptions, answers: Sequence[str]) -> list[float | None]:
        """Return the probability that a classifier gives its label for each answer, None for an empty one.

        Raises:
            ConfigError, ModelError: the classifier has no such label, or cannot be loaded.
        """
        name = self.config.probe.name
        scorer = load_label_scorer(self.path("classifier.path"), classifier.label, f"evaluate.bias.{name}.classifier")
        said = [answer for answer in answers if answer.strip()]
        with self.context.progress(f"{name}: classify", len(said)) as advance:
            found, clipped = scorer.score(said, self.config.generation.batch_size, advance)
        if clipped:
            self.context.warn(f"{name}: {clipped} of {len(said)} answers are longer than the classifier reads")
        scores = iter(found)
        return [next(scores) if answer.strip() else None for answer in answers]


def _item(number: int, prompt: str) -> Item:
    return Item(
        id=str(number),
        row=number,
        cluster=number,
        near_train=False,
        prompt=(Message(role="user", content=prompt),),
        tools=None,
        reference="",
        label=None,
    )
