"""Error analysis of the tuned model: what is taken for what, what tuning fixed and broke, and the worst items."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pipeline.core.numbers import percent
from pipeline.report.page import Block, Example, Paragraph, Plot, Table
from pipeline.report.plots import CountRow, count_plot
from pipeline.report.types import ChangedItem, ItemChanges, Report, SubjectScores
from pipeline.report.wording import clip, count
from schemas.evaluate import Confusion

DRAWN = 8
"""Rows of a plot."""

_SHOWN = 12
"""Rows of a table that is not folded."""

_ANSWER_LENGTH = 240
_PROMPT_LENGTH = 480
_CONFUSION_LENGTH = 120


def confusions(report: Report) -> Iterator[Block]:
    """Yield what the tuned model takes for what; nothing where that was not told."""
    if not report.confusions:
        return
    total = next((subject.n for subject in report.subjects if subject.role == "tuned"), 0)
    caption = f"Of the tuned model on {count(total, 'test item')}"
    rows = [CountRow(_confusion(item), item.count) for item in report.confusions[:DRAWN]]
    spoken = "; ".join(f"{row.label}: {row.right:,}" for row in rows)
    alternative = f"Most frequent confusions, in items of {total:,}. {spoken}."
    yield Plot(f"Most frequent confusions, items of {total:,}", count_plot(rows, alternative), alternative)
    yield Table(
        caption,
        ("Field", "Expected", "Answered", "Items"),
        tuple(
            (
                item.field or "whole answer",
                _said(item.expected, _CONFUSION_LENGTH),
                _said(item.predicted, _CONFUSION_LENGTH),
                f"{item.count:,}",
            )
            for item in report.confusions
        ),
        frozenset({"Items"}),
        folded=len(report.confusions) > _SHOWN,
    )


def _confusion(item: Confusion) -> str:
    field = f"{item.field}: " if item.field else ""
    return clip(f"{field}{_told(item.expected)} answered {_told(item.predicted)}", 2 * _CONFUSION_LENGTH)


def changes(report: Report) -> Iterator[Block]:
    """Yield what tuning fixed and broke against the best baseline, and against the champion where that is another."""
    for found in (report.changes, report.champion_changes):
        if found is not None:
            yield from _changes(found, _title(report.subjects, found.baseline))


def _changes(found: ItemChanges, title: str) -> Iterator[Block]:
    yield Paragraph(
        f"Against {title}, by {found.metric}: {found.fixed:,} of {count(found.n, 'item')} became better and "
        f"{found.broken:,} worse."
    )
    if found.slices:
        shown = [("all items", found.n, found.fixed, found.broken)]
        shown += [(each.name, each.n, each.fixed, each.broken) for each in found.slices]
        drawn = shown[:DRAWN]
        rows = [CountRow(f"{clip(name, 40)}, {count(n, 'item')}", fixed, broken) for name, n, fixed, broken in drawn]
        spoken = "; ".join(
            f"{clip(name, 60)}: {fixed:,} better, {broken:,} worse of {n:,}" for name, n, fixed, broken in drawn
        )
        alternative = f"Items that became worse (left) and better (right) against {title}. {spoken}."
        caption = f"Items that became worse (left) and better (right) against {title}"
        yield Plot(caption, count_plot(rows, alternative), alternative)
        numeric = ("Items", "Better", "Worse")
        yield Table(
            f"By slice, against {title}",
            ("Slice", *numeric),
            tuple((clip(name, 60), f"{n:,}", f"{fixed:,}", f"{broken:,}") for name, n, fixed, broken in shown),
            frozenset(numeric),
            folded=len(shown) > _SHOWN,
        )
    for kind, items in (("Fixed", found.fixed_examples), ("Broken", found.broken_examples)):
        for number, item in enumerate(items, start=1):
            yield _example(f"{kind}, example {number}", item)


def worst(report: Report) -> Iterator[Block]:
    """Yield the items that the tuned model scores lowest on."""
    if not report.worst:
        return
    yield Paragraph(f"The first of those with the lowest {report.primary_metric}, in the test split's order.")
    for number, item in enumerate(report.worst, start=1):
        yield Example(
            f"Worst item {number}, {percent(item.score)} (item {clip(item.id, 40)})",
            (
                ("Prompt", clip(item.prompt, _PROMPT_LENGTH)),
                ("Expected", _said(item.reference, _ANSWER_LENGTH)),
                ("Answered", _said(item.tuned, _ANSWER_LENGTH)),
            ),
        )


def _title(subjects: Sequence[SubjectScores], name: str) -> str:
    return next((subject.title for subject in subjects if subject.name == name), name)


def _example(title: str, item: ChangedItem) -> Example:
    return Example(
        f"{title} (item {clip(item.id, 40)})",
        (
            ("Prompt", clip(item.prompt, _PROMPT_LENGTH)),
            ("Expected", _said(item.reference, _ANSWER_LENGTH)),
            ("Before", _said(item.baseline, _ANSWER_LENGTH)),
            ("After", _said(item.tuned, _ANSWER_LENGTH)),
        ),
    )


def _said(text: str, limit: int) -> str:
    return clip(_told(text), limit)


def _told(text: str) -> str:
    """Return the text, or in words that there is none to be seen."""
    return text if text.strip(" \t\u00a0") else "(blank)" if text else "(nothing)"
