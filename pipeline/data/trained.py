"""Held-out rows that were trained elsewhere: in the versions that the base comes from, or replayed beside this data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from pipeline.core.context import CallContext
from pipeline.core.examples import read_examples
from pipeline.data.dedup import find_neighbors
from pipeline.data.leakage import Leakage, asked
from pipeline.data.rows import Draft
from schemas.artifacts import Stored
from schemas.data import DataArtifact, Example, Split


def find_trained(
    drafts: Sequence[Draft],
    splits: Sequence[Split],
    trained: Mapping[str, Stored[DataArtifact]],
    threshold: float | None,
    context: CallContext,
) -> dict[str, Leakage]:
    """Return, by the name of each data set of ``trained``, the held-out rows that repeat one of its training rows.

    The rows of a finished data set are known as they are trained, personal data replaced and templates filled in; the
    held-out rows are compared in that form, too.

    Raises:
        IntegrityError: a split file of ``trained`` is missing or damaged.
    """
    held = [index for index, split in enumerate(splits) if split != "train"]
    if not held:
        return {}
    rows = [replace(drafts[index], original=None, own_text=None) for index in held]
    found = {}
    for name, stored in trained.items():
        path = stored.artifact.files.get("train")
        others = [] if path is None else [_draft(example) for example in read_examples(stored.file(path))]
        known = {asked(other) for other in others}
        copied = {index for index, row in zip(held, rows, strict=True) if asked(row) in known}
        pairs = find_neighbors([*rows, *others], threshold, context).pairs
        near = {held[left] for left, right, _ in pairs if left < len(rows) <= right}
        found[name] = Leakage(frozenset(copied), frozenset(near | copied))
    return found


def _draft(example: Example) -> Draft:
    return Draft(
        source="train",
        row=example.row,
        messages=example.messages,
        chosen=example.chosen,
        rejected=example.rejected,
        text=example.text,
        tools=example.tools,
    )
