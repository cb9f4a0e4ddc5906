"""From captured answers that people judged to rows as a version was trained on."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from pipeline.control.retraining import find_origin
from pipeline.control.versions import VersionFiles
from pipeline.core.context import CallContext
from pipeline.core.errors import ConfigError, DataError
from pipeline.data.columns import Layout, find_layout
from pipeline.data.formats import Formatter
from pipeline.data.load import PEEK, named_rows
from pipeline.data.rows import BadRow, SourceRow
from pipeline.data.sources import open_source
from pipeline.monitor.rows import Row, text_of
from pipeline.resolve import data_options
from schemas.data import DataOptions

ACCEPTED = 1.0
"""The mean score from which an answer counts as right."""

_VARIABLE = re.compile(r"\{\{\s*(\w+)\s*\}\}")


@dataclass(frozen=True)
class Labelled:
    """Rows with right answers, and how many judged answers do not fit into a row of the version's form."""

    rows: tuple[dict[str, Any], ...]
    unfit: int


def labelled_rows(root: Path, files: VersionFiles, captured: Iterable[Row]) -> Labelled:
    """Return the captured answers that somebody corrected, or found right, as rows that a retraining can append.

    Raises:
        ConfigError: the version's rows have a form that no request can be written back into.
        SourceError: its data cannot be had. IntegrityError: its run is gone.
    """
    form = RowForm(*version_layout(root, files))
    found, unfit = [], 0
    for row in captured:
        answer = right_answer(row)
        if answer is None or row.messages is None:
            continue
        made = form.row(row.messages, answer)
        if made is None:
            unfit += 1
        else:
            found.append(made)
    return Labelled(tuple(found), unfit)


def version_layout(root: Path, files: VersionFiles) -> tuple[Layout, DataOptions]:
    """Return how the rows are read that a version was trained on.

    Raises:
        SourceError: its data cannot be had. IntegrityError: its run is gone.
    """
    origin = find_origin(root, files.version, files.record)
    options = data_options(origin.spec.data)
    source = open_source(origin.data.train, "train", CallContext(call_id="layout")).rows
    head = [row for row in islice(source, PEEK) if isinstance(row, SourceRow)]
    return find_layout(options, head, origin.data.train.location), options


def check_rows(root: Path, files: VersionFiles, rows: Iterable[Mapping[str, Any]]) -> None:
    """Refuse rows that are not of the form of those that a version was trained on.

    Raises:
        DataError: some cannot be read as they were; the message names the first by their position, from 1.
        SourceError: the version's data cannot be had. IntegrityError: its run is gone.
    """
    formatter = Formatter(*version_layout(root, files))
    bad = []
    for number, row in enumerate(rows, 1):
        try:
            formatter.draft(SourceRow(number, dict(row)), "train")
        except ValueError as error:
            bad.append(BadRow.of(number, error))
    if bad:
        message = f"{len(bad)} rows are not like those that {files.version} was trained on: {named_rows(bad)}"
        raise DataError(message, where="rows", fix="send them in the form of its training rows")


def right_answer(row: Row) -> str | None:
    """Return what the answer should have been, or was; None where nobody said."""
    if row.correction is not None:
        return row.correction
    return row.output if row.score is not None and row.score >= ACCEPTED and row.output else None


@dataclass(frozen=True)
class RowForm:
    """How a request and its answer are written as a row of a layout.

    Raises:
        ConfigError: they cannot be: rows of preferences or plain text, or templates that are more than one column
            between fixed words.
    """

    layout: Layout
    options: DataOptions

    def __post_init__(self) -> None:
        if self.layout.format in ("preference", "unpaired", "text"):
            raise _unfit(f"rows of format {self.layout.format} hold no question with one answer", "data.format")
        if self.options.completion_template is not None:
            raise _unfit("an answer cannot be written back into the columns of a template", "data.completion_template")
        template = self.options.prompt_template
        if template is not None and (len(_VARIABLE.findall(template)) != 1 or "{%" in template or "{#" in template):
            raise _unfit("a request can be written back into a template of one column only", "data.prompt_template")

    def row(self, turns: Sequence[Mapping[str, Any]], answer: str) -> dict[str, Any] | None:
        """Return the row; None where the turns do not fit into one."""
        asked = [*turns]
        if asked and asked[0].get("role") == "system" and text_of(asked[0].get("content")) == self.options.system:
            asked = asked[1:]
        texts = [(str(turn.get("role")), text_of(turn.get("content"))) for turn in asked]
        if not texts or any(text is None for _, text in texts):
            return None
        columns = self.layout.columns
        match self.layout.format:
            case "messages":
                said = [*({"role": role, "content": text} for role, text in texts), _turn("assistant", answer)]
                return {columns["messages"]: said}
            case "sharegpt":
                names = {"system": "system", "user": "human", "assistant": "gpt"}
                if any(role not in names for role, _ in texts):
                    return None
                told = [{"from": names[role], "value": text} for role, text in texts]
                return {columns["messages"]: [*told, {"from": "gpt", "value": answer}]}
            case _:
                return self._columns(texts, answer)

    def _columns(self, texts: Sequence[tuple[str, str | None]], answer: str) -> dict[str, Any] | None:
        """Return a row of a question and its answer, which has room for one turn of a user."""
        if [role for role, _ in texts] != ["user"]:
            return None
        question = str(texts[0][1])
        columns, template = self.layout.columns, self.options.prompt_template
        asked = columns.get("text" if self.layout.format == "label" else "prompt")
        if template is not None:
            before, asked, after = _VARIABLE.split(template)
            if not (question.startswith(before) and question.endswith(after)):
                return None
            question = question[len(before) : len(question) - len(after)]
        assert asked is not None
        return {asked: question, columns["label" if self.layout.format == "label" else "completion"]: answer}


def _turn(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def _unfit(message: str, where: str) -> ConfigError:
    return ConfigError(message, where=where, fix="send rows of your own to the retraining webhook (docs/webhook.md)")
