"""What passes between the steps: a source row, a bad row, and a draft (a row that has a form but no split yet)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from schemas.data import Message, Split
from schemas.faults import FaultCode


class RowFault(ValueError):
    """A row is bad in a way that has a class of its own."""

    def __init__(self, code: FaultCode, reason: str) -> None:
        super().__init__(reason)
        self.code: FaultCode = code


@dataclass(frozen=True, slots=True)
class SourceRow:
    """A row as its source gave it. ``number`` counts from 1: the line of a text file, the position elsewhere.

    A row ``from_table`` (Parquet, Arrow) has nulls inside its objects where other rows' objects have more members.
    """

    number: int
    values: dict[str, Any]
    from_table: bool = False


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be used.

    ``content`` is what is set aside: its values, or the start of its text. ``code`` is the class of the fault.
    """

    number: int
    reason: str
    content: Any = None
    code: FaultCode = "unusable_row"

    @classmethod
    def of(cls, number: int, error: ValueError, content: Any = None) -> BadRow:
        """Return the bad row that ``error`` tells of."""
        return cls(number, str(error), content, error.code if isinstance(error, RowFault) else "unusable_row")


@dataclass(frozen=True, slots=True)
class Draft:
    """A row that reads as a conversation, a preference or a text.

    ``desirable`` is the verdict on the answer of an unpaired preference.
    ``source`` is the file it came from (as ``train``, ``validation`` or ``test``). ``own_text`` is what the row itself
    says where a template wraps it: similarity is measured on it, so that the template's words count for nothing.
    ``original`` is the row before personal data was replaced in it: whether rows repeat or contradict each other is
    told by what they were.
    """

    source: Split
    row: int
    messages: tuple[Message, ...] = ()
    chosen: tuple[Message, ...] = ()
    rejected: tuple[Message, ...] = ()
    text: str | None = None
    tools: tuple[dict[str, Any], ...] | None = None
    label: str | None = None
    desirable: bool | None = None
    group: str | None = None
    language: str | None = None
    own_text: str | None = None
    original: Draft | None = None

    @property
    def as_given(self) -> Draft:
        """The row as its source gave it."""
        return self.original or self

    @property
    def prompt(self) -> tuple[Message, ...]:
        """The turns before the answer."""
        return self.messages if self.chosen else self.messages[:-1]

    @property
    def prompt_text(self) -> str:
        """What the row asks, without a system turn, for comparing rows."""
        if self.text is not None:
            return self.text
        if self.own_text is not None:
            return self.own_text
        return "\n".join(spoken(message) for message in self.prompt if message.role != "system")

    @property
    def answer_text(self) -> str:
        """What the row teaches, for comparing rows; empty for a text."""
        if self.chosen:
            return "\n".join(map(spoken, self.chosen)) + "\n\0\n" + "\n".join(map(spoken, self.rejected))
        return spoken(self.messages[-1]) if self.messages else ""


def spoken(message: Message) -> str:
    """Return everything a turn says: its content, reasoning and tool calls."""
    calls = json.dumps(message.tool_calls, sort_keys=True, ensure_ascii=False) if message.tool_calls else ""
    return "\n".join(part for part in (message.reasoning_content, message.content, calls) if part)
