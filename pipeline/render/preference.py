"""A preference as tokens: one prompt, and two completions that are compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.core.errors import RenderError
from pipeline.render.conversation import Rendered, render_conversations
from pipeline.render.layout import Tools
from pipeline.render.tokenizer import Tokenizer
from schemas.data import Message
from schemas.render import RenderOptions


@dataclass(frozen=True)
class RenderedPair:
    """Token ids of a prompt and of its two completions.

    ``ended``: the chosen one ends with its end-of-turn token. ``joined`` and ``doubled`` as in `Rendered`, for either
    side.
    """

    prompt_ids: list[int]
    chosen_ids: list[int]
    rejected_ids: list[int]
    ended: bool = True
    joined: bool = False
    doubled: bool = False

    @property
    def longest(self) -> int:
        """The length in tokens of the longer of the two sequences."""
        return len(self.prompt_ids) + max(len(self.chosen_ids), len(self.rejected_ids))

    def truncated(self, max_length: int) -> RenderedPair:
        """Return the pair with both sequences cut after ``max_length`` tokens."""
        left = max(0, max_length - len(self.prompt_ids))
        cut = (self.prompt_ids[:max_length], self.chosen_ids[:left], self.rejected_ids[:left])
        return RenderedPair(
            *cut, ended=self.ended and len(self.chosen_ids) <= left, joined=self.joined, doubled=self.doubled
        )


@dataclass(frozen=True)
class RenderedVerdict:
    """Token ids of a prompt and of an answer to it that is ``desirable`` or not."""

    prompt_ids: list[int]
    answer_ids: list[int]
    desirable: bool

    @property
    def longest(self) -> int:
        """The length in tokens."""
        return len(self.prompt_ids) + len(self.answer_ids)


def render_preference(
    prompt: Sequence[Message],
    chosen: Sequence[Message],
    rejected: Sequence[Message],
    tokenizer: Tokenizer,
    options: RenderOptions,
    *,
    tools: Tools = None,
) -> RenderedPair:
    """Return the tokens of a preference; the completions are what `render_conversation` trains of each side.

    Raises:
        RenderError: a side is not one assistant turn, or the template renders the prompt differently for each side.
    """
    for name, side in (("chosen", chosen), ("rejected", rejected)):
        if len(side) != 1 or side[0].role != "assistant":
            raise RenderError(
                f"{name} must be exactly one assistant turn",
                fix="move the turns before the answer into the prompt",
            )
    answers = [turn.model_copy(update={"weight": None}) for turn in (*chosen, *rejected)]
    only_answer = options.model_copy(update={"completion_only_loss": True, "assistant_only_loss": False})
    rows = [((*prompt, answer), tools) for answer in answers]
    first, second = render_conversations(rows, tokenizer, only_answer)
    start = min(_first_trained(first), _first_trained(second))
    if first.ids[:start] != second.ids[:start]:
        raise RenderError(
            "the template renders the prompt differently for the chosen and the rejected answer",
            where="train.chat_template",
            fix="give a chat template whose prompt does not depend on the answer",
        )
    return RenderedPair(
        prompt_ids=first.ids[:start],
        chosen_ids=_completion(first, start),
        rejected_ids=_completion(second, start),
        ended=bool(first.ends),
        joined=first.joined or second.joined,
        doubled=first.doubled or second.doubled,
    )


def split_answer(row: Rendered) -> tuple[list[int], list[int]]:
    """Return what comes before the first trained token, and the tokens from it through the last trained one."""
    start = _first_trained(row)
    return row.ids[:start], _completion(row, start)


def _first_trained(row: Rendered) -> int:
    return row.trained.index(True) if True in row.trained else len(row.ids)


def _completion(row: Rendered, start: int) -> list[int]:
    end = max((index for index, trained in enumerate(row.trained) if trained), default=start - 1)
    return row.ids[start : end + 1]
