"""Scores by kind of item, as the report shows them."""

from __future__ import annotations

from pipeline.report.page import Plot, Table
from pipeline.report.record import RunRecord
from pipeline.report.report import build_report
from pipeline.report.slices import slices
from pipeline.report.types import Report
from schemas.evaluate import Score
from schemas.register import Comparison

WORSE = Comparison(
    candidate="seed-0", reference="base", metric="exact_match", n=40, candidate_value=0.5, reference_value=0.75,
    difference=-0.25, low=-0.4, high=-0.1, p_value=0.01, test="exact McNemar", interval="bootstrap", part="label login",
)  # fmt: skip


def score(value: float, n: int = 40) -> Score:
    return Score(value=value, low=value - 0.1, high=value + 0.1, n=n, method="Wilson")


def by_slice(report: Report, **values: dict[str, float]) -> Report:
    """Return a report of which the named subjects have these scores on slices."""
    subjects = [
        subject.model_copy(
            update={"slices": {name: {"exact_match": score(at)} for name, at in values[subject.role].items()}}
        )
        if subject.role in values
        else subject
        for subject in report.subjects
    ]
    return report.model_copy(update={"subjects": tuple(subjects)})


def test_the_worst_kinds_come_first_beside_the_best_baseline(record: RunRecord) -> None:
    report = by_slice(
        build_report(record),
        tuned={"short": 0.9, "label login": 0.5, "long": 0.7},
        baseline={"short": 0.6, "label login": 0.75},
    ).model_copy(update={"protected_comparisons": (WORSE,)})
    plot, table, weak = slices(report)
    assert isinstance(plot, Plot) and isinstance(table, Table) and isinstance(weak, Table)
    assert weak.rows == (("near_train", "5", "-20.0", "-35.0 to -5.0", "0.012"),)
    assert [row[0] for row in table.rows] == ["label login", "long", "short"]
    assert table.rows[0][:4] == ("label login", "40", "50.0%", "40.0% to 60.0%")
    assert table.rows[0][4:] == ("75.0% (65.0% to 85.0%)", "-25.0", "-40.0 to -10.0")
    assert table.rows[1][4:] == ("not measured", "not compared", "")
    assert table.rows[2][4:] == ("60.0% (50.0% to 70.0%)", "not compared", "")
    assert "label login: 50.0%" in plot.alternative and "all items" in plot.alternative
    assert not table.folded


def test_many_kinds_are_folded_and_only_the_worst_are_drawn(record: RunRecord) -> None:
    many = {f"label {number:02}": number / 40 for number in range(13)}
    plot, table, _ = slices(by_slice(build_report(record), tuned=many, baseline=many))
    assert isinstance(plot, Plot) and isinstance(table, Table)
    assert table.folded and len(table.rows) == 13
    assert "label 07" in plot.alternative and "label 08" not in plot.alternative


def test_without_slices_there_is_nothing_to_show(record: RunRecord) -> None:
    assert list(slices(by_slice(build_report(record), tuned={}))) == []
