"""Every share that a table of the report shows stands with its interval and the number of items it is of."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pipeline.report.layout import lay_out
from pipeline.report.page import Table
from pipeline.report.record import RunRecord
from pipeline.report.report import build_report

SHARE = re.compile(r"^[+-]?\d+\.\d%?$")
"""``85.0%`` and ``+1.2``, in percentage points."""

RANGES = ("interval", "bounds", "95%")
COUNTS = ("n", "items")

NO_SAMPLE = ("Of parent", "Threshold", "Of all read")
"""Columns whose percentages are no estimates from items: sizes, what the gate asks for, and counts of all rows."""

NO_INTERVAL = ("contamination",)
"""Conditions on a count of all rows, which has no interval."""


def tables(record: RunRecord) -> Iterator[Table]:
    page = lay_out(build_report(record))
    for section in (*page.front, *page.details):
        yield from (block for block in section.blocks if isinstance(block, Table))


def shares(table: Table) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the column and the row of each share."""
    for row in table.rows:
        for column, cell in zip(table.columns, row, strict=True):
            if column in table.numeric and cell.endswith("%") and SHARE.match(cell) and column not in NO_SAMPLE:
                yield column, row


def test_every_share_has_an_interval_and_a_number_of_items(record: RunRecord) -> None:
    seen = 0
    for table in tables(record):
        named = [column.lower() for column in table.columns]
        counted = any(name in COUNTS for name in named) or re.search(r"\b\d+ (test )?items?\b|n = \d", table.caption)
        ranged = [place for place, name in enumerate(named) if any(word in name for word in RANGES)]
        for column, row in shares(table):
            seen += 1
            where = f"{table.caption!r}, column {column!r}, row {row}"
            assert counted, f"no number of items: {where}"
            assert any(row[place] for place in ranged) or row[0] in NO_INTERVAL, f"no interval: {where}"
    assert seen > 15
