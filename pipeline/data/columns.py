"""Which format rows have, and which column holds what: from the options where they say it, else from usual names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from pipeline.core.errors import ConfigError, DataError
from pipeline.data.names import nearest, quoted
from pipeline.data.rows import SourceRow
from pipeline.data.text import words
from schemas.data import CHOSEN, REJECTED, Columns, DataOptions

Slot = Literal[
    "prompt",
    "input",
    "history",
    "system",
    "completion",
    "messages",
    "chosen",
    "rejected",
    "text",
    "label",
    "group",
    "language",
    "tools",
]
KnownFormat = Literal["prompt_completion", "messages", "sharegpt", "alpaca", "preference", "unpaired", "text", "label"]

USUAL_NAMES: Final[dict[Slot, tuple[str, ...]]] = {
    "prompt": ("prompt", "question", "query", "instruction", "input"),
    "completion": ("completion", "response", "answer", "output", "target"),
    "messages": ("messages", "conversations", "conversation"),
    "chosen": CHOSEN,
    "rejected": REJECTED,
    "text": ("text", "utterance", "sentence", "message", "content"),
    "label": ("label", "category", "intent", "class"),
    "group": ("group",),
    "language": ("language", "lang"),
    "tools": ("tools",),
    "input": ("input", "context"),
    "history": ("history",),
    "system": ("system", "system_prompt"),
}
"""Column names by what they hold, the most telling first; case does not matter."""

_ALPACA_NAMES: Final[dict[Slot, tuple[str, ...]]] = {"prompt": ("instruction",), "completion": ("output",)}
"""What comes before the usual names in Alpaca's rows."""

_NEEDED: Final[dict[KnownFormat, tuple[Slot, ...]]] = {
    "messages": ("messages",),
    "sharegpt": ("messages",),
    "preference": ("chosen", "rejected"),
    "unpaired": ("prompt", "completion", "label"),
    "alpaca": ("prompt", "completion"),
    "prompt_completion": ("prompt", "completion"),
    "label": ("text", "label"),
    "text": ("text",),
}
"""What each format needs, in the order in which formats are tried."""

OPTIONAL: Final[dict[KnownFormat, tuple[Slot, ...]]] = {
    "messages": ("system", "tools", "group", "language"),
    "sharegpt": ("system", "tools", "group", "language"),
    "preference": ("prompt", "system", "tools", "group", "language"),
    "unpaired": ("system", "tools", "group", "language"),
    "alpaca": ("input", "history", "system", "tools", "group", "language"),
    "prompt_completion": ("system", "tools", "group", "language"),
    "label": ("group", "language"),
    "text": ("group", "language"),
}
"""What each format reads where it is there."""

_FILLED: Final = 0.1
_TEXT_WORDS: Final = 3


@dataclass(frozen=True)
class Layout:
    """The format of a source's rows and its columns by what they hold; ``available`` are all columns seen."""

    format: KnownFormat
    columns: dict[Slot, str]
    available: tuple[str, ...]

    @property
    def unused(self) -> tuple[str, ...]:
        """Columns that nothing reads (templates aside)."""
        return tuple(name for name in self.available if name not in self.columns.values())


def columns_of(rows: Sequence[SourceRow]) -> tuple[str, ...]:
    """Return the names of all columns, in order of first appearance."""
    return tuple(dict.fromkeys(name for row in rows for name in row.values))


def find_layout(options: DataOptions, rows: Sequence[SourceRow], where: str) -> Layout:
    """Return how to read rows like ``rows`` (the first of a source).

    Raises:
        ConfigError: ``options.columns`` names a column that is not there or not read, or ``split.by: group`` has none.
        DataError: the columns fit no format, or not the one asked for.
    """
    available = columns_of(rows)
    _check_named(options.columns, available, where)
    found = {slot: column for slot in USUAL_NAMES if (column := _find(slot, options.columns, available)) is not None}
    row_format = _detect(options, found, rows) if options.format == "auto" else options.format
    if row_format is None:
        raise DataError(
            f"the columns {quoted(available)} fit no known format",
            where=where,
            fix=_suggest(available) + "name them in data.columns, or give data.prompt_template",
        )
    for slot in _ALPACA_NAMES if row_format == "alpaca" else ():
        if (column := _find(slot, options.columns, available, row_format)) is not None:
            found[slot] = column
    _check_needed(row_format, options, found, available, where)
    slots = [*_NEEDED[row_format], *OPTIONAL[row_format]]
    if row_format == "prompt_completion" and options.labels is not None:
        slots.append("label")
    columns = {slot: found[slot] for slot in slots if slot in found}
    if columns.get("input") == columns.get("prompt"):
        columns.pop("input", None)
    _check_read(row_format, options, columns)
    if options.split.by == "group" and "group" not in columns:
        raise ConfigError(
            "splitting by group needs a group column",
            where="data.columns.group",
            fix=f"name one of {quoted(available)}",
        )
    return Layout(row_format, columns, available)


def unread_text(names: Sequence[str], rows: Sequence[SourceRow]) -> tuple[str, ...]:
    """Return the columns of ``names`` that hold text in ``rows``: most of their values have several words."""
    found = []
    for name in names:
        values = [value for row in rows if isinstance(value := row.values.get(name), str) and value.strip()]
        texts = sum(len(words(value)) >= _TEXT_WORDS for value in values)
        if len(values) >= _FILLED * len(rows) and 2 * texts > len(values):
            found.append(name)
    return tuple(found)


def usual_column(slot: Slot, available: Sequence[str], row_format: KnownFormat | None = None) -> str | None:
    """Return the first column with a usual name for ``slot`` in rows of ``row_format``."""
    by_fold = {name.casefold(): name for name in reversed(available)}
    first = _ALPACA_NAMES.get(slot, ()) if row_format == "alpaca" else ()
    return next((by_fold[name] for name in (*first, *USUAL_NAMES[slot]) if name in by_fold), None)


def _find(slot: Slot, columns: Columns, available: Sequence[str], row_format: KnownFormat | None = None) -> str | None:
    named = getattr(columns, slot)
    return str(named) if named is not None else usual_column(slot, available, row_format)


def _check_named(columns: Columns, available: Sequence[str], where: str) -> None:
    for slot, name in columns:
        if name is not None and name not in available:
            near = nearest(name, available)
            raise ConfigError(
                f"there is no column {name!r} in {where}",
                where=f"data.columns.{slot}",
                fix=f"did you mean {near!r}?" if near else f"columns: {quoted(available)}",
            )


def _detect(options: DataOptions, found: dict[Slot, str], rows: Sequence[SourceRow]) -> KnownFormat | None:
    explicit = {slot for slot, name in options.columns if name is not None}
    if options.prompt_template is not None:
        return _detect_templated(options, found)
    if {"text", "label"} <= explicit:
        return "label"
    if "input" in explicit:
        return "alpaca"
    if {"prompt", "completion"} <= explicit:
        return "prompt_completion"
    if "messages" in found:
        return "sharegpt" if has_sharegpt_turns(rows, found["messages"]) else "messages"
    if "chosen" in found and "rejected" in found:
        return "preference"
    names = {name.casefold() for row in rows for name in row.values}
    is_alpaca = "instruction" in names and "completion" in found and ("output" in names or "input" in found)
    if is_alpaca and not explicit & {"prompt", "completion"}:
        return "alpaca"
    if "prompt" in found and ("completion" in found or options.completion_template is not None):
        return "prompt_completion"
    if "text" in found and ("label" in found or options.completion_template is not None):
        return "label" if "label" in found else None
    return "text" if "text" in found else None


def _detect_templated(options: DataOptions, found: dict[Slot, str]) -> KnownFormat | None:
    if "chosen" in found and "rejected" in found:
        return "preference"
    if options.completion_template is not None or options.columns.completion is not None:
        return "prompt_completion"
    if "label" in found and (options.columns.label is not None or "completion" not in found):
        return "label"
    return "prompt_completion" if "completion" in found else None


def has_sharegpt_turns(rows: Sequence[SourceRow], column: str) -> bool:
    """Tell whether the first turns that ``column`` holds have ``from`` and ``value``, not ``role`` and ``content``."""
    for row in rows:
        turns = row.values.get(column)
        if isinstance(turns, str):
            return '"from"' in turns and '"role"' not in turns
        if isinstance(turns, (list, tuple)) and turns and isinstance(turns[0], dict):
            return "from" in turns[0] and "role" not in turns[0]
    return False


def _check_needed(
    row_format: KnownFormat, options: DataOptions, found: dict[Slot, str], available: Sequence[str], where: str
) -> None:
    by_template: set[Slot] = set()
    if options.prompt_template is not None:
        by_template |= {"prompt", "text"}
    if options.completion_template is not None:
        by_template.add("completion")
    for slot in _NEEDED[row_format]:
        if slot not in found and slot not in by_template:
            raise DataError(
                f"format {row_format} needs a {slot} column; there are {quoted(available)}",
                where=where,
                fix=f"{_suggest(available, slot)}name it in data.columns.{slot}",
            )


def _check_read(row_format: KnownFormat, options: DataOptions, columns: dict[Slot, str]) -> None:
    beside: tuple[Slot, ...] = ("input", "history", "system")
    for slot in beside:
        if getattr(options.columns, slot) is not None and slot not in columns:
            raise ConfigError(
                f"rows of format {row_format} have no {slot} column",
                where=f"data.columns.{slot}",
                fix="remove it, or write the column into data.prompt_template",
            )


def _suggest(available: Sequence[str], *slots: Slot) -> str:
    """Return ``'promt' looks like 'prompt': `` for the first column that nearly has a usual name; else nothing."""
    names = [name for slot in slots or USUAL_NAMES for name in USUAL_NAMES[slot]]
    for column in available:
        if near := nearest(column, names):
            return f"{column!r} looks like {near!r}: "
    return ""
