"""Items: what every subject is asked, in the split's stored order, and the answers that count as right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.core.errors import ConfigError, DataError
from pipeline.core.examples import read_examples
from schemas.artifacts import Stored
from schemas.data import DataArtifact, Example, Message, Split


@dataclass(frozen=True)
class Item:
    """One question with its reference answer.

    ``row`` is the row of the source file; ``cluster`` joins near-duplicates; ``near_train`` marks an item with a
    near-duplicate among the training rows. ``calls_only`` says that the answer calls tools and has no text. ``pair``
    are the chosen and the rejected answer of a preference.
    """

    id: str
    row: int
    cluster: int
    near_train: bool
    prompt: tuple[Message, ...]
    tools: tuple[Mapping[str, Any], ...] | None
    reference: str
    label: str | None
    language: str | None = None
    calls_only: bool = False
    pair: tuple[Message, Message] | None = None

    @property
    def text(self) -> str:
        """The prompt for people: the content of its turns, each after its role where there are several."""
        if len(self.prompt) == 1:
            return self.prompt[0].content
        return "\n".join(f"{message.role}: {message.content}" for message in self.prompt)


def split_path(data: Stored[DataArtifact], split: Split) -> Path:
    """Return the file of a split.

    Raises:
        DataError: the data artifact has no such split, or no rows in it.
    """
    name = data.artifact.files.get(split)
    if name is None or data.artifact.rows.get(split, 0) == 0:
        raise DataError(
            f"the {split} split has no rows",
            where=f"data.split.{split}",
            fix=f"raise data.split.{split}, or give a file for it",
        )
    return data.file(name)


def load_items(data: Stored[DataArtifact], split: Split, max_items: int | None = None) -> list[Item]:
    """Return the items of a split, or of its first ``max_items`` rows; none of a row whose answer is not desirable.

    Raises:
        DataError: the split is empty, or rows (they are named) have no prompt, no answer, or one of tool calls alone.
        ConfigError: the data are plain text, which asks nothing.
    """
    path = split_path(data, split)
    if data.artifact.kind == "text":
        raise ConfigError(
            "plain text has no question and answer to evaluate",
            where="data.format",
            fix="evaluate on rows with prompt and answer",
        )
    examples = read_examples(path, limit=max_items)
    items = [as_item(example) for example in examples if example.desirable is not False]
    if not items:
        raise DataError(
            f"none of {len(examples)} rows has a desirable answer to compare with",
            where=path.name,
            fix="give the split rows whose label is true",
        )
    silent = [item for item in items if not item.reference.strip() and not item.calls_only]
    for what, wrong, fix in (
        ("no answer to compare with", silent, "complete these rows, or remove them from the split"),
        (
            "no prompt",
            [item for item in items if not item.prompt],
            "complete these rows, or remove them from the split",
        ),
        (
            "an answer of tool calls alone, and tool-call answers cannot be scored yet",
            [item for item in items if item.calls_only],
            "remove these rows from the split, or end them with an answer in words",
        ),
    ):
        if wrong:
            rows = listed_rows([item.row for item in wrong])
            raise DataError(f"{len(wrong)} rows have {what}", where=f"{path.name}, source {rows}", fix=fix)
    return items


def as_item(example: Example) -> Item:
    """Return an example as an item; of a preference the chosen answer is the reference."""
    answer = _answer(example)
    return Item(
        id=example.id,
        row=example.row,
        cluster=example.cluster,
        near_train=example.near_train,
        prompt=example.prompt,
        tools=example.tools,
        reference=answer.content,
        label=example.label,
        language=example.language,
        calls_only=bool(answer.tool_calls) and not answer.content.strip(),
        pair=(example.chosen[0], example.rejected[0]) if len(example.chosen) == len(example.rejected) == 1 else None,
    )


def _answer(example: Example) -> Message:
    """Return the turn that answers, without content where there is none."""
    turns = [message for message in (*example.messages[-1:], *example.chosen) if message.role == "assistant"]
    return turns[-1] if turns else Message(role="assistant")


def listed_rows(rows: Sequence[int], most: int = 10) -> str:
    """Return row numbers as an error shows them: the first ten, and how many more.

    >>> listed_rows([3, 5])
    'rows 3, 5'
    """
    shown = ", ".join(str(row) for row in rows[:most])
    more = f" and {len(rows) - most} more" if len(rows) > most else ""
    return f"{'row' if len(rows) == 1 else 'rows'} {shown}{more}"
