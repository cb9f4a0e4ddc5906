"""Faults of the splits: too small, or with held-out rows that training gives away."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pipeline.core.context import CallContext
from pipeline.data.checks.benchmarks import read_benchmark
from pipeline.data.checks.make import finding, grouped
from pipeline.data.checks.quoted import Quotes
from pipeline.data.prepared import Prepared
from pipeline.data.rows import Draft, spoken
from schemas.data import Split
from schemas.faults import FaultCode
from schemas.preflight import Finding, PreflightConfig

FEW_ROWS = 10
"""Rows of a split below which it teaches or shows next to nothing."""


def check_splits(prepared: Prepared, config: PreflightConfig, context: CallContext) -> Iterator[Finding]:
    """Yield what is wrong between training and held-out rows."""
    yield from _small(prepared, config)
    drafts, splits, leakage = prepared.distinct.drafts, prepared.splits, prepared.leakage
    copied = ((splits[index], drafts[index].row) for index in leakage.copied)
    for split, rows in grouped(copied):
        yield finding("test_copies_training", split, rows, done="kept and marked")
    near = ((splits[index], drafts[index].row) for index in leakage.near - leakage.copied)
    for split, rows in grouped(near):
        yield finding("test_near_training", split, rows, done="kept and marked")
    for name, elsewhere in prepared.trained.items():
        for split, rows in grouped((splits[index], drafts[index].row) for index in elsewhere.near):
            yield finding("test_trained_elsewhere", split, rows, detail=f"in {name}", done="kept and marked")
    yield from _shared_groups(prepared)
    yield from _quoted(prepared, context)
    for reference in config.benchmarks:
        quotes = Quotes(read_benchmark(reference, context))
        for split, rows in grouped(_found(quotes, drafts, splits, context)):
            code: FaultCode = "benchmark_in_training" if split == "train" else "benchmark_in_test"
            yield finding(code, split, rows, detail=f"of {len(quotes.texts)} benchmark texts")


def _small(prepared: Prepared, config: PreflightConfig) -> Iterator[Finding]:
    for split in ("train", "test"):
        rows = len(prepared.examples.get(split, []))
        if rows < FEW_ROWS:
            yield finding("few_rows", split, count=rows, detail=f"{split} has {rows}")
    test = len(prepared.examples.get("test", []))
    test = min(test, config.max_items or test)
    if config.rows_for_gain is not None and test < config.rows_for_gain:
        told = f"about {config.rows_for_gain:,} rows are needed, and {test:,} are asked"
        yield finding("test_too_small", "test", count=test, detail=told)


def _shared_groups(prepared: Prepared) -> Iterator[Finding]:
    """Held-out rows of a training row's group, where a column of groups was declared."""
    if not prepared.options.is_grouped:
        return
    drafts, splits = prepared.distinct.drafts, prepared.splits
    trained = {draft.group for draft, split in zip(drafts, splits, strict=True) if split == "train"} - {None}
    shared = [
        (split, draft)
        for draft, split in zip(drafts, splits, strict=True)
        if split != "train" and draft.group in trained
    ]
    for split, rows in grouped((split, draft.row) for split, draft in shared):
        groups = len({draft.group for one, draft in shared if one == split})
        yield finding("test_group_in_training", split, rows, detail=f"{groups} groups", done="kept")


def _quoted(prepared: Prepared, context: CallContext) -> Iterator[Finding]:
    """Held-out rows whose prompt stands in a training row, near-duplicates aside: those are known."""
    drafts, splits = prepared.distinct.drafts, prepared.splits
    held = [index for index, split in enumerate(splits) if split != "train" and index not in prepared.leakage.near]
    quotes = Quotes([drafts[index].as_given.prompt_text for index in held])
    found: dict[int, int] = {}
    for draft, split in zip(drafts, splits, strict=True):
        context.check()
        if split == "train":
            for item in quotes.in_text(_whole(draft)):
                found.setdefault(item, draft.row)
    places = ((splits[held[item]], drafts[held[item]].row) for item in sorted(found))
    for split, rows in grouped(places):
        first = min(found[item] for item in found if splits[held[item]] == split)
        yield finding("test_in_training_text", split, rows, detail=f"in training row {first}, for one")


def _found(
    quotes: Quotes, drafts: Sequence[Draft], splits: Sequence[Split], context: CallContext
) -> Iterator[tuple[Split, int]]:
    for draft, split in zip(drafts, splits, strict=True):
        context.check()
        if any(True for _ in quotes.in_text(_whole(draft))):
            yield split, draft.row


def _whole(draft: Draft) -> str:
    """Return everything that a row says, in the words that its source gave it; the system turn is left out."""
    given = draft.as_given
    if given.text is not None:
        return given.text
    turns = (*given.messages, *given.chosen, *given.rejected)
    return "\n".join(spoken(turn) for turn in turns if turn.role != "system")
