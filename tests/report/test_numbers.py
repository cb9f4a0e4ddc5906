"""Every score in a table of the HTML report stands with its interval and the number of items it is of."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from itertools import chain

import pytest

from pipeline.report.record import RunRecord
from pipeline.report.report import build_report
from pipeline.report.report_html import report_html
from pipeline.report.types import Report
from schemas.base import ArtifactRef
from schemas.evaluate import Score
from schemas.human import Coefficient, HumanEvaluation
from schemas.register import Comparison, SeedSpread
from tests.report.test_bias import CHANGE, PROBED
from tests.report.test_judged import COMPARED, LABELLED

SHARE = re.compile(r"[+-]?[\d,]+\.\d%.*|[+-]\d+\.\d")
"""``85.0%``, ``75.0% (65.0% to 85.0%)`` and ``+1.2``, in percentage points."""

ESTIMATES = ("Score", "Value", "Estimate", "Difference", "Win rate", "Share")
"""Columns in which every number is an estimate, whatever its unit."""

NO_SAMPLE = ("Of parent", "Threshold", "Of all read")
"""Columns whose percentages are no estimates from items: sizes, what the gate asks for, and counts of all rows."""

COUNTED = ("contamination", "parity.", "budget.")
"""Conditions on a count of all rows, prompts or dollars, which has no interval."""

SCORED = (
    "As measured", "the metric that decides", "Nothing hangs", "Against the baselines", "against their parent",
    "is protected", "judge prefers", "moves the judge", "Agreement", "on the test items", "by slice, the",
    "significantly worse than on", "before and after", "bbq by group", "What training changed", "by variant",
)  # fmt: skip
"""Parts of the names of all tables that have scores."""

INTERVAL = re.compile(r"[+-]?[\d,.]+%? to [+-]?[\d,.]+%?|at least [+-]?[\d.]+%")


@dataclass
class HtmlTable:
    name: str = ""
    columns: list[str] = field(default_factory=list)
    numeric: list[bool] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)

    def estimates(self) -> list[tuple[str, dict[str, str]]]:
        """Return the column and the row, by column, of each estimate."""
        return [
            (column, dict(zip(self.columns, row, strict=True)))
            for row in self.rows
            if not row[0].startswith(COUNTED)
            for column, numeric, cell in zip(self.columns, self.numeric, row, strict=True)
            if numeric and column not in NO_SAMPLE and not ranges(column)
            if SHARE.fullmatch(cell) or (column in ESTIMATES and cell[-1:].isdigit())
        ]


class Tables(HTMLParser):
    """Reads the tables of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[HtmlTable] = []
        self._text: list[str] | None = None

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        if tag == "table":
            self.found.append(HtmlTable(given.get("aria-label") or ""))
        elif tag == "tr":
            self.found[-1].rows.append([])
        elif tag in ("th", "td"):
            self._text = []
            if given.get("scope") == "col":
                self.found[-1].numeric.append(given.get("class") == "number")

    def handle_data(self, data: str) -> None:
        if self._text is not None:
            self._text.append(data)

    def handle_endtag(self, tag: str) -> None:
        if tag in ("th", "td"):
            self.found[-1].rows[-1].append("".join(self._text or ()).strip())
            self._text = None
        elif tag == "thead":
            self.found[-1].columns = self.found[-1].rows.pop()


def ranges(column: str) -> bool:
    return column == "Bounds" or column.endswith("interval")


def tables(report: Report) -> list[HtmlTable]:
    """Return the tables that have a head."""
    reader = Tables()
    reader.feed(report_html(report))
    reader.close()
    return [table for table in reader.found if table.columns]


def faults(table: HtmlTable) -> list[str]:
    """Return each estimate without an interval to its right, or without a number of items in its row.

    The first interval to the right is an estimate's own, unless it brings one in its own cell.
    """
    found = []
    for column, row in table.estimates():
        where = f"{table.name!r}, column {column!r}, row {tuple(row.values())}"
        right = table.columns[table.columns.index(column) + 1 :]
        own = next((row[name] for name in right if ranges(name)), "")
        if not INTERVAL.search(row[column]) and not INTERVAL.fullmatch(own):
            found.append(f"no interval: {where}")
        if not re.fullmatch(r"[1-9][\d,]*", row.get("n") or row.get("Items") or ""):
            found.append(f"no number of items: {where}")
    return found


@pytest.fixture
def report(record: RunRecord) -> Report:
    """Return a report with every section that has scores: several seeds, a judge, people and probes as well."""
    bare = build_report(record)
    tuned = next(subject for subject in bare.subjects if subject.role == "tuned")
    second = tuned.model_copy(update={"name": "seed-1"})
    clean = Comparison(
        candidate="seed-0", reference="base", metric="exact_match", n=15, candidate_value=0.8, reference_value=0.8,
        difference=0.0, low=-0.1, high=0.1, p_value=1.0, test="exact McNemar", interval="bootstrap", part="clean",
    )  # fmt: skip
    kappa = Score(value=0.4545, low=0.2, high=0.7, n=40, method="bootstrap")
    asked = HumanEvaluation(
        sheet="s1", name="triage", record=ArtifactRef(stage="register", fingerprint="f" * 64), candidate="merged",
        baseline="base", criteria="Which is right?", alpha=0.05, annotators=3, items=40, answers=118, missing=2,
        unanswered=0, adjudicated=1, open=0, preference=COMPARED.preference, ratings=None,
        agreement=(
            Coefficient(kind="pairwise", name="Fleiss' kappa", score=kappa),
            Coefficient(kind="pairwise", name="Krippendorff's alpha", score=None),
        ),
        time="2026-11-23T10:00:00+00:00",
    )  # fmt: skip
    return bare.model_copy(
        update={
            "subjects": (*bare.subjects, second),
            "seeds": SeedSpread(
                values={"seed-0": 0.9, "seed-1": 0.9}, mean=0.9, standard_deviation=0.0, low=0.9, high=0.9
            ),
            "protected_comparisons": (clean,),
            "bias": PROBED,
            "bias_comparisons": (CHANGE,),
            "judgements": {"best-baseline": COMPARED, "labels": LABELLED},
            "human": (asked,),
        }
    )


def test_every_score_has_an_interval_and_a_number_of_items(report: Report) -> None:
    found = tables(report)
    assert list(chain.from_iterable(map(faults, found))) == []
    scored = [table.name for table in found if table.estimates()]
    for part in SCORED:
        assert any(part in name for name in scored), f"no scores under {part!r}"


def test_a_score_that_stands_alone_is_found() -> None:
    columns, numeric = ["Subject", "Score", "95% interval", "n"], [False, True, True, True]
    assert faults(HtmlTable("t", columns, numeric, [["a", "20.0%", "8.1% to 41.6%", "20"]])) == []
    assert len(faults(HtmlTable("t", columns, numeric, [["a", "20.0%", "", "20"]]))) == 1
    assert len(faults(HtmlTable("t", columns, numeric, [["a", "2.5", "2.25 to 3", ""]]))) == 1
    both = HtmlTable("t", ["A", "Score", "95% interval", "Difference", "Bounds", "n"], [False] + 5 * [True])
    both.rows = [["a", "20.0%", "8.1% to 41.6%", "+0.0", "", "20"], ["b", "2.0% (1.0% to 3.0%)", "", "", "", "20"]]
    assert len(faults(both)) == 1
    assert len(faults(HtmlTable("t", ["Slice", "Change"], [False, True], [["a", "+0.0"]]))) == 2


def test_a_difference_that_was_not_tested_is_not_shown(report: Report) -> None:
    table = next(table for table in tables(report) if "by slice, the" in table.name)
    rows = {row[0]: row for row in table.rows}
    assert rows["clean"][5:] == ["+0.0", "-10.0 to +10.0"]
    assert rows["near_train"][5:] == ["not compared", ""]
