"""A row as a question: the tokens of its prompt, and the answer that is expected."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.render.conversation import Rendered
from pipeline.render.preference import split_answer
from schemas.data import Example, Message


@dataclass(frozen=True)
class RenderedPrompt:
    """Token ids of a prompt, up to where the answer begins, and the text of the answer that a row gives.

    ``room`` is how many tokens an answer may have; ``row`` the source row; ``question`` its turns before the answer.
    """

    prompt_ids: list[int]
    reference: str
    row: int
    room: int
    question: tuple[Message, ...] = ()
    tools: tuple[Mapping[str, Any], ...] | None = None

    @property
    def longest(self) -> int:
        """The length in tokens of the prompt with the longest answer that there may be."""
        return len(self.prompt_ids) + self.room


def as_prompt(row: Rendered, example: Example, room: int) -> RenderedPrompt:
    """Return a rendered conversation without its last answer, which is told as text."""
    prompt, _ = split_answer(row)
    return RenderedPrompt(prompt, example.answer, example.row, room, example.prompt, example.tools)
