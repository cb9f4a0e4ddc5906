"""Findings in words, and in the order of the table."""

from __future__ import annotations

import pytest

from pipeline.core.findings import finding_text, named_rows, ordered, place_of, refusing
from schemas.preflight import Finding

WARNING = Finding(code="exact_duplicate", severity="warning", split="train", count=1, rows=(61,), done="removed")
ERROR = Finding(code="joined_prompt", severity="error", split="test", count=7, rows=(1, 2, 3, 4, 5, 6, 7))
FIRST = Finding(code="no_row_left", severity="error", detail="all 3 rows are longer than max_length 4")
IGNORED = Finding(code="bos_doubled", severity="error", ignored=True)


def test_errors_come_before_warnings_and_what_is_ignored_last() -> None:
    assert ordered([IGNORED, WARNING, ERROR, FIRST]) == [FIRST, ERROR, WARNING, IGNORED]
    assert refusing([IGNORED, WARNING, ERROR]) == [ERROR]


def test_a_finding_names_split_rows_and_what_was_done() -> None:
    assert finding_text(WARNING) == "rows are copies of earlier ones (train, row 61); removed"
    assert place_of(ERROR) == "test, rows 1, 2, 3, 4, 5 and 2 more"
    assert finding_text(FIRST) == "no row is left to train on: all 3 rows are longer than max_length 4"


@pytest.mark.parametrize(
    ("rows", "total", "text"),
    [
        ([4], None, "row 4"),
        ([9, 4], None, "rows 4, 9"),
        (range(1, 8), None, "rows 1, 2, 3, 4, 5 and 2 more"),
        (range(1, 11), 1200, "rows 1, 2, 3, 4, 5 and 1,195 more"),
    ],
)
def test_five_rows_are_named(rows: list[int], total: int | None, text: str) -> None:
    assert named_rows(rows, total) == text
