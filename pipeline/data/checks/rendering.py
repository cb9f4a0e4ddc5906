"""Faults of tokens and masks, as the render found them in each split."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from pipeline.data.checks.make import finding
from pipeline.render import Inspection
from schemas.data import Split
from schemas.faults import FaultCode
from schemas.preflight import Finding
from schemas.render import LongRows, RenderConfig

_LONG: Final[dict[LongRows, str]] = {"drop": "left out", "truncate": "cut", "stop": ""}


def check_rendering(inspections: Mapping[Split, Inspection], render: RenderConfig) -> Iterator[Finding]:
    """Yield what the render found; what is wrong with the tokenizer whatever the rows are is said once."""
    told = set[str]()
    policy = render.options.long_rows
    for split, inspection in inspections.items():
        for code, found in inspection.faults.found.items():
            if code == "no_row_left" and split == "test":
                continue  # test rows are asked, not trained: their length is said below
            if found.rows or code not in told:
                yield finding(code, split if found.rows else None, found.rows, detail=found.detail)
            told.add(code)
        if inspection.long:
            done = "asked all the same, whole" if split == "test" else _LONG[policy]
            yield finding(
                _long_code(split, inspection, policy),
                split,
                inspection.long,
                detail=f"train.max_length is {render.max_length}",
                done=done,
                stops=policy == "stop",
            )


def _long_code(split: Split, inspection: Inspection, policy: LongRows) -> FaultCode:
    """Tell some rows apart from most: what trains on the shorter half of a task has learned another task.

    Where no row is left, that is said by itself.
    """
    most = split == "train" and policy == "drop" and len(inspection.long) > len(inspection.rows) > 0
    return "most_rows_too_long" if most else "rows_too_long"
