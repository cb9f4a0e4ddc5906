"""Ranking: which answer of each pair a model prefers; what it prefers counts as its answer to the item.

A reward model prefers what it scores higher, a language model what it finds likelier in the mean of an answer's tokens.
Where it prefers neither, the rejected one counts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pipeline.core.context import CallContext
from pipeline.core.errors import DataError, RenderError
from pipeline.evaluate import backends
from pipeline.evaluate.backends import Advance, Completion, Question
from pipeline.evaluate.items import Item, listed_rows
from pipeline.evaluate.local_model import LocalModel, OpenedModel
from pipeline.evaluate.respondents import LOCAL_PORTION
from pipeline.render import RenderedPair, render_preference
from schemas.data import Message
from schemas.evaluate import GenerationConfig

Pair = tuple[Message, Message]
"""The chosen and the rejected answer."""

Scorer = Callable[[Sequence[int], CallContext], list[tuple[float, float]]]
"""Returns what the chosen and the rejected answer of the items at some places are worth."""


def check_pairs(items: Sequence[Item]) -> None:
    """Refuse items that are no pairs of two different answers.

    Raises:
        DataError: it names the rows.
    """
    wrong = [item.row for item in items if item.pair is None or item.pair[0].content == item.pair[1].content]
    if wrong:
        raise DataError(
            f"{len(wrong)} rows do not hold two answers in different words, of which one is better",
            where=f"source {listed_rows(wrong)}",
            fix="give each a chosen and a rejected answer of one turn, or remove these rows from the split",
        )


@dataclass
class Ranker:
    """Answers items by what is worth more to a model, which is loaded when first asked."""

    items: Sequence[Item]
    open: Callable[[], Scorer]
    engine: str
    portion: int = LOCAL_PORTION
    _scorer: Scorer | None = None

    def answer(self, first: int, last: int, context: CallContext, advance: Advance) -> list[Completion]:
        """Return the preferred answers to items [first, last)."""
        if self._scorer is None:
            context.emit("log", "loading the model")
            self._scorer = self.open()
        worth = self._scorer(range(first, last), context)
        advance(last - first)
        preferred = [_pair(self.items[first + place])[chosen <= other] for place, (chosen, other) in enumerate(worth)]
        return [Completion(answer.content, [], "stop", 0, 0) for answer in preferred]


def by_reward(model: LocalModel, items: Sequence[Item], config: GenerationConfig) -> Ranker:
    """Return a ranker by a reward model's scores."""

    def load() -> Scorer:
        scorer = backends.load_reward_model(model.files, "subject")

        def worth(places: Sequence[int], context: CallContext) -> list[tuple[float, float]]:
            asked = [Question(items[place].prompt, items[place].tools) for place in places]
            sides = zip(*(_pair(items[place]) for place in places), strict=True)
            told = [scorer.score(asked, side, batch_size=config.batch_size, context=context) for side in sides]
            return list(zip(*told, strict=True))

        return worth

    return Ranker(items, load, backends.engine_name(config))


def by_likelihood(model: LocalModel, items: Sequence[Item], config: GenerationConfig) -> Ranker:
    """Return a ranker by a language model's likelihoods.

    Raises:
        ModelError: the model's files are missing or unreadable.
        RenderError: the chat template refuses an item (the row is named).
    """
    opened = model.open()
    pairs = [_rendered(item, opened) for item in items]

    def load() -> Scorer:
        generator = opened.load(config, max(pair.longest for pair in pairs))

        def worth(places: Sequence[int], context: CallContext) -> list[tuple[float, float]]:
            asked = [pairs[place] for place in places]
            told = [
                generator.score(
                    [pair.prompt_ids for pair in asked], side, batch_size=config.batch_size, context=context
                )
                for side in ([pair.chosen_ids for pair in asked], [pair.rejected_ids for pair in asked])
            ]
            means = [[one.log_probability / max(one.tokens, 1) for one in side] for side in told]
            return list(zip(*means, strict=True))

        return worth

    return Ranker(items, load, backends.engine_name(config))


def _pair(item: Item) -> Pair:
    assert item.pair is not None, "see check_pairs"
    return item.pair


def _rendered(item: Item, opened: OpenedModel) -> RenderedPair:
    chosen, rejected = _pair(item)
    try:
        return render_preference(
            item.prompt, (chosen,), (rejected,), opened.tokenizer, opened.options, tools=item.tools
        )
    except RenderError as error:
        raise RenderError(error.message, where=f"source row {item.row}", fix=error.fix) from error
