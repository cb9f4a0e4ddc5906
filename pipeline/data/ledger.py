"""The ledger of removed rows: each is set aside with its reason, and every reason is counted."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from pipeline.core.errors import DataError
from pipeline.data.rows import Draft
from schemas.data import DropCount, Message, Split
from schemas.faults import FaultCode

Reason = Literal[
    "bad_row",
    "over_max_rows",
    "personal_data",
    "contradiction",
    "contamination",
    "exact_duplicate",
    "near_duplicate",
]

_NAMED = 10
"""Row numbers that a `DropCount` names."""


@dataclass(frozen=True, slots=True)
class Dropped:
    """One removed row: where it stood, why, of which row it is a copy, and what it held."""

    source: Split
    row: int
    reason: Reason
    detail: str | None = None
    copy_of: int | None = None
    content: Any = None


@dataclass(frozen=True, slots=True)
class Noted:
    """A row in which a step found something and that stays; ``done`` says what became of it."""

    source: Split
    row: int
    code: FaultCode
    done: str


@dataclass
class Ledger:
    """Collects removed rows, in the order of the steps, and what was found in rows that stay.

    Where it ``collects``, what would stop the stage is only noted: whoever reads the findings refuses.
    """

    entries: list[Dropped] = field(default_factory=list)
    notes: list[Noted] = field(default_factory=list)
    stops: dict[FaultCode, str] = field(default_factory=dict)
    collects: bool = False

    def note(self, draft: Draft, code: FaultCode, done: str = "kept") -> None:
        """Note what was found in a row that stays."""
        self.notes.append(Noted(draft.source, draft.row, code, done))

    def stop(self, error: DataError, code: FaultCode) -> None:
        """Stop for a policy that says so, or note that it does.

        Raises:
            DataError: ``error``, where nothing collects.
        """
        if not self.collects:
            raise error
        self.stops[code] = error.message

    def drop(
        self,
        draft: Draft,
        reason: Reason,
        *,
        detail: str | None = None,
        copy_of: int | None = None,
        with_content: bool = True,
    ) -> None:
        """Set one row aside."""
        content = content_of(draft) if with_content else None
        self.entries.append(Dropped(draft.source, draft.row, reason, detail, copy_of, content))

    def counts(self) -> tuple[DropCount, ...]:
        """Return the count of every reason that occurred, in the order of the steps."""
        counted = []
        for reason in get_args(Reason):
            rows = [entry.row for entry in self.entries if entry.reason == reason]
            if rows:
                counted.append(DropCount(reason=reason, count=len(rows), examples=tuple(rows[:_NAMED])))
        return tuple(counted)

    def write(self, path: Path, clean: Callable[[Any], Any]) -> None:
        """Write one JSON line per removed row; ``clean`` takes personal data out of what is set aside."""
        with path.open("w", encoding="utf-8", newline="\n") as stream:
            for entry in self.entries:
                record = {
                    "source": entry.source,
                    "row": entry.row,
                    "reason": entry.reason,
                    "detail": clean(entry.detail),
                    "copy_of": entry.copy_of,
                    "content": clean(entry.content),
                }
                line = {key: value for key, value in record.items() if value is not None}
                text = json.dumps(line, ensure_ascii=False, default=str)
                stream.write(text.encode("utf-8", "backslashreplace").decode() + "\n")


def content_of(draft: Draft) -> dict[str, Any]:
    """Return what a row holds, as JSON data."""
    content: dict[str, Any] = {
        name: [_turn(turn) for turn in turns]
        for name, turns in (("messages", draft.messages), ("chosen", draft.chosen), ("rejected", draft.rejected))
        if turns
    }
    if draft.text is not None:
        content["text"] = draft.text
    if draft.label is not None:
        content["label"] = draft.label
    if draft.desirable is not None:
        content["desirable"] = draft.desirable
    return content


def _turn(turn: Message) -> dict[str, Any]:
    return turn.model_dump(exclude_none=True, mode="json")
