"""Rows that ask: the questions of a file, read as the rows of training were; answers may be missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, get_args

from jinja2 import meta
from jinja2.sandbox import ImmutableSandboxedEnvironment

from pipeline.core.context import CallContext
from pipeline.core.errors import DataError
from pipeline.data.columns import OPTIONAL, KnownFormat, Layout, Slot, columns_of, has_sharegpt_turns, usual_column
from pipeline.data.formats import Formatter, format_digest
from pipeline.data.load import named_rows, row_line
from pipeline.data.names import quoted
from pipeline.data.rows import BadRow, SourceRow
from pipeline.data.sources import open_source
from pipeline.data.template import RowTemplate
from schemas.base import Reference
from schemas.data import Columns, DataArtifact, DataOptions, Message


@dataclass(frozen=True)
class Prompt:
    """One question. ``id`` is the row's own (column ``id``), if it has one."""

    row: int
    id: str | None
    messages: tuple[Message, ...]
    tools: tuple[dict[str, Any], ...] | None


def trained_format(artifact: DataArtifact, options: DataOptions) -> KnownFormat | None:
    """Return the row format that a data artifact was read as, which its template digest tells."""
    known = get_args(KnownFormat)
    return next((name for name in known if format_digest(name, options) == artifact.template_digest), None)


def read_prompts(
    location: str, options: DataOptions, row_format: KnownFormat | None, context: CallContext
) -> list[Prompt]:
    """Read the questions of a file whose rows have the shape of the training rows, or ``prompt`` or ``messages`` alone.

    Args:
        location: a file, a folder or a Hub data set, of which the test split is read.
        options: how the training rows were read: their templates, system turn and columns.
        row_format: their format.
        context: receives progress.

    Raises:
        SourceError, ConfigError: the file cannot be read.
        DataError: it has no rows, no column that asks, or rows that ask nothing (all named).
    """
    source = open_source(Reference(location=location), "test", context)
    rows = list(source.rows)
    good = [row for row in rows if isinstance(row, SourceRow)]
    if not rows:
        raise DataError("the file holds no rows", where=source.location, fix="give a file with rows")
    bad = [row for row in rows if isinstance(row, BadRow)]
    if not good:
        raise _refused(source.location, bad, len(rows))
    formatter = Formatter(*_reading(options, row_format, good, source.location))
    prompts = []
    for row in good:
        try:
            prompts.append(_prompt(formatter, row))
        except ValueError as error:
            bad.append(BadRow(row.number, str(error)))
    if bad:
        raise _refused(source.location, bad, len(rows))
    return prompts


def template_columns(options: DataOptions) -> tuple[str, ...]:
    """Return the columns that the prompt template reads, sorted; none where there is no template."""
    if options.prompt_template is None:
        return ()
    tree = ImmutableSandboxedEnvironment(autoescape=False).parse(options.prompt_template)
    return tuple(sorted(meta.find_undeclared_variables(tree)))


def ask_text(text: str, options: DataOptions) -> str:
    """Return a user's turn for ``text``: through the prompt template where that reads one column, else as it is."""
    columns = template_columns(options)
    if options.prompt_template is None or len(columns) != 1:
        return text
    return RowTemplate(options.prompt_template, "data.prompt_template", columns).render({columns[0]: text})


def _prompt(formatter: Formatter, row: SourceRow) -> Prompt:
    own = row.values.get("id")
    return Prompt(
        row=row.number,
        id=str(own) if isinstance(own, (str, int)) else None,
        messages=formatter.ask(row),
        tools=formatter.tools(row),
    )


def _reading(
    options: DataOptions, row_format: KnownFormat | None, rows: Sequence[SourceRow], where: str
) -> tuple[Layout, DataOptions]:
    """Return the layout of the questions, and the options without what is not for rows of that layout."""
    available = columns_of(rows)
    more = _more(options, row_format, available)
    if options.prompt_template is not None and set(template_columns(options)) <= set(available):
        return Layout("prompt_completion", more, available), options
    plain = options.model_copy(update={"prompt_template": None, "completion_template": None})
    own: Slot = "text" if row_format == "label" else "prompt"
    turns = _column("messages", options.columns, available)
    asked = _column(own, options.columns, available, row_format) or ("prompt" if "prompt" in available else None)
    if asked is not None and (turns is None or row_format not in ("messages", "sharegpt")):
        form: KnownFormat = "alpaca" if row_format == "alpaca" else "prompt_completion"
        return Layout(form, {**more, "prompt": asked}, available), plain
    if turns is not None:
        form = "sharegpt" if has_sharegpt_turns(rows, turns) else "messages"
        return Layout(form, {"messages": turns, **more}, available), plain
    wanted = _wanted(options, own)
    raise DataError(
        f"no column asks: there are {quoted(available)}",
        where=where,
        fix=f"give {wanted}, or a column 'prompt' or 'messages'",
    )


def _more(options: DataOptions, row_format: KnownFormat | None, available: Sequence[str]) -> dict[Slot, str]:
    """Return the columns beside the question that rows of training's format have: tools, system turn, input."""
    slots = ("tools",) if row_format is None else (*OPTIONAL[row_format], "tools")
    unasked = ("group", "language", "prompt")
    found = {slot: _column(slot, options.columns, available) for slot in slots if slot not in unasked}
    return {slot: column for slot, column in found.items() if column is not None}


def _wanted(options: DataOptions, own: Slot) -> str:
    named = getattr(options.columns, own)
    if options.prompt_template is not None:
        return f"the columns of training ({quoted(template_columns(options))})"
    return f"the column of training ({str(named or own)!r})"


def _column(
    slot: Slot, columns: Columns, available: Sequence[str], row_format: KnownFormat | None = None
) -> str | None:
    """Return the column that training named, else the first with a usual name."""
    named = getattr(columns, slot)
    return str(named) if named in available else usual_column(slot, available, row_format)


def _refused(where: str, bad: Sequence[BadRow], read: int) -> DataError:
    ordered = sorted(bad, key=lambda row: row.number)
    return DataError(
        f"{len(bad)} of {read} rows cannot be asked: {named_rows(ordered)}",
        where=where,
        fix="correct them, or leave them out",
        detail="\n".join(map(row_line, ordered)),
    )
