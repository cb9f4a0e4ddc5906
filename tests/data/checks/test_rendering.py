"""What is said of rows that are too long, and of splits that are asked and not trained."""

from __future__ import annotations

from typing import cast

import pytest

from pipeline.data.checks.rendering import check_rendering
from pipeline.render import Inspection
from pipeline.render.faults import FaultRows
from schemas.base import Reference, Split
from schemas.render import LongRows, RenderConfig, RenderOptions


def inspected(kept: int, long: int, *, left: bool = True) -> Inspection:
    faults = FaultRows()
    if not left:
        faults.add("no_row_left", None, f"all {long} rows are longer than max_length 64")
    rows = cast("list[object]", [object()] * kept)
    return Inspection(rows, [], None, faults, tuple(range(1, long + 1)))  # type: ignore[arg-type]


def codes(split: Split, inspection: Inspection, policy: LongRows = "drop") -> list[tuple[str, str, str]]:
    options = RenderOptions(long_rows=policy)
    render = RenderConfig(tokenizer=Reference(location="base"), options=options, max_length=64)
    return [(one.code, one.severity, one.done) for one in check_rendering({split: inspection}, render)]


@pytest.mark.parametrize(
    ("kept", "long", "split", "policy", "code"),
    [
        (50, 50, "train", "drop", ("rows_too_long", "warning", "left out")),
        (49, 50, "train", "drop", ("most_rows_too_long", "error", "left out")),
        (99, 50, "train", "truncate", ("rows_too_long", "warning", "cut")),
        (49, 50, "train", "stop", ("rows_too_long", "error", "")),
        (1, 50, "validation", "drop", ("rows_too_long", "warning", "left out")),
        (1, 50, "test", "drop", ("rows_too_long", "warning", "asked all the same, whole")),
    ],
)
def test_more_than_half_of_the_training_left_out_is_an_error(
    kept: int, long: int, split: Split, policy: LongRows, code: tuple[str, str, str]
) -> None:
    assert codes(split, inspected(kept, long), policy) == [code]


def test_no_row_left_is_said_of_training_and_not_of_items_that_are_asked_whole() -> None:
    nothing = inspected(0, 3, left=False)
    assert [code for code, *_ in codes("train", nothing)] == ["no_row_left", "rows_too_long"]
    assert codes("test", nothing) == [("rows_too_long", "warning", "asked all the same, whole")]
