"""Confusions, what tuning fixed and broke, and the worst items, as tables and plots."""

from __future__ import annotations

import re

from pipeline.report.mistakes import changes, confusions, worst
from pipeline.report.page import Example, Paragraph, Plot, Table
from pipeline.report.plots import CountRow, count_plot
from pipeline.report.record import RunRecord
from pipeline.report.report import build_report
from pipeline.report.types import ItemChanges, SliceChanges
from schemas.evaluate import Confusion


def test_changes_are_counted_by_slice_and_drawn_with_their_numbers(record: RunRecord) -> None:
    blocks = list(changes(build_report(record)))
    assert isinstance(blocks[0], Paragraph)
    plot, table = blocks[1], blocks[2]
    assert isinstance(plot, Plot) and isinstance(table, Table)
    found = build_report(record).changes
    assert found is not None
    assert table.rows[0] == ("all items", f"{found.n}", f"{found.fixed}", f"{found.broken}")
    assert sum(int(row[2]) for row in table.rows[1:]) == found.fixed
    assert sum(int(row[3]) for row in table.rows[1:]) == found.broken
    assert f"all items: {found.fixed} better, {found.broken} worse of 20" in plot.alternative


def test_the_champion_is_compared_with_beside_the_best_baseline(record: RunRecord) -> None:
    report = build_report(record)
    champion = ItemChanges(
        baseline="champion", tuned="seed-0", metric="exact_match", n=20, fixed=3, broken=1, fixed_examples=(),
        broken_examples=(), slices=(SliceChanges(name="clean", n=15, fixed=3, broken=1),),
    )  # fmt: skip
    blocks = list(changes(report.model_copy(update={"champion_changes": champion})))
    told = [block.text for block in blocks if isinstance(block, Paragraph)]
    assert told[-1] == "Against champion, by exact_match: 3 of 20 items became better and 1 worse."


def test_the_worst_items_are_those_with_the_lowest_score(record: RunRecord) -> None:
    report = build_report(record)
    found = [block for block in worst(report) if isinstance(block, Example)]
    assert len(found) == len(report.worst) > 0
    assert all(item.score == 0.0 for item in report.worst)
    assert found[0].title.startswith("Worst item 1, 0.0% (item t")
    assert list(worst(report.model_copy(update={"worst": ()}))) == []


def test_confusions_are_drawn_and_listed(record: RunRecord) -> None:
    report = build_report(record)
    plot, table = confusions(report)
    assert isinstance(plot, Plot) and isinstance(table, Table)
    assert len(table.rows) == len(report.confusions) == 1
    assert plot.alternative.startswith("Most frequent confusions, in items of 20.")
    assert list(confusions(report.model_copy(update={"confusions": ()}))) == []


def test_what_cannot_be_seen_is_told_in_words(record: RunRecord) -> None:
    unseen = (Confusion(expected="", predicted=" \t", count=2), Confusion(expected="\n", predicted="", count=1))
    plot, table = confusions(build_report(record).model_copy(update={"confusions": unseen}))
    assert isinstance(plot, Plot) and isinstance(table, Table)
    assert [row[-3:-1] for row in table.rows] == [("(nothing)", "(blank)"), ("↵", "(nothing)")]
    assert "(nothing) answered (blank): 2" in plot.alternative


def test_bars_are_as_long_as_their_counts() -> None:
    # 2 to the left and 6 to the right at most share 334 units: 41.75 for each item, from a zero line at 14 + 83.5.
    drawn = count_plot([CountRow("a", 6, 2), CountRow("b", 0, 1)], "words")
    bars = re.findall(r'<rect class="bar (\w+)" x="([\d.]+)" y="[\d.]+" width="([\d.]+)"', drawn)
    assert bars == [("baseline", "14.0", "83.5"), ("tuned", "97.5", "250.5"), ("baseline", "55.8", "41.8")]
    assert ">2 / 6</text>" in drawn and ">1 / 0</text>" in drawn
