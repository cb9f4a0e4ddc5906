"""Prompts of a file, and what a model says to them: for probes that look at the answers themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.evaluate.backends import Completion
from pipeline.evaluate.bias.files import read_rows

NAMES = ("prompt", "question", "instruction", "goal", "text")
"""Columns that a prompt may stand under, as published sets call it."""


@dataclass(frozen=True)
class Prompt:
    """One prompt; ``cluster`` joins those that are variations of one another, ``group`` is its category, if any."""

    id: str
    text: str
    cluster: str
    group: str | None


def read_prompts(path: Path, name: str = "prompt") -> list[Prompt]:
    """Return the prompts of a file (``.jsonl`` or ``.csv``), or of a folder of such files; ids begin with ``name``.

    Columns: one of `NAMES`; ``cluster`` where prompts are variations of one another (by default equal words are);
    ``category``, by which figures are also shown.

    Raises:
        SourceError: nothing can be read there.
        DataError: a row has no prompt (it is named).
    """
    prompts = []
    for number, row in enumerate(read_rows(path, "jsonl", "csv"), start=1):
        text = row.text(*NAMES)
        cluster = row.named("cluster")
        prompts.append(
            Prompt(
                id=f"{name}:{number}",
                text=text,
                cluster=text if cluster is None else cluster,
                group=row.named("category"),
            )
        )
    return prompts


def row_of(prompt: Prompt, completion: Completion, found: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row of ``items.parquet``."""
    return {
        "id": prompt.id,
        "cluster": prompt.cluster,
        "group": prompt.group,
        "prompt": prompt.text,
        "answer": completion.text,
        "finish_reason": completion.finish_reason,
        **found,
    }
