"""Sheets out, answers in, and what report and card then say; of 20 items 16 have two different answers.

The served model is right on items 1 to 18, the base on 0 to 3, and both give the same answer to 1, 2, 3 and 19.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from local_runner.main import run_command
from pipeline.core.human import human_folder
from pipeline.core.workspace import Store
from pipeline.report.model_card import model_card
from pipeline.report.record import RunRecord
from pipeline.report.report import build_report
from pipeline.report.report_html import report_html
from pipeline.report.version import VersionRecord
from schemas.errors import ExitCode
from schemas.human import SheetKey
from tests.support.run_fixture import RunFixture


class Desk:
    """A workspace with one run, and the commands on it."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.root, self._capsys = folder, folder / ".hone", capsys
        self.fixture = RunFixture(self.root)
        self.run = self.fixture.build()

    def hone(self, *arguments: str | Path, expect: ExitCode = ExitCode.OK) -> dict[str, Any]:
        code = run_command(["human", *map(str, arguments), "--workspace", str(self.root), "--json"])
        told: dict[str, Any] = json.loads(self._capsys.readouterr().out)
        assert code == expect, told
        return told

    def key(self, sheet: str) -> SheetKey:
        return SheetKey.model_validate_json((human_folder(self.root, sheet) / "key.json").read_text())

    def fill(self, sheet: str, source: Path, to: Path, other: int = 0) -> None:
        """Prefer the right answer and rate it 5, a wrong one 2; turn around the last ``other`` rows."""
        key = {item.code: item for item in self.key(sheet).items}
        with source.open(newline="", encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream))
        for place, row in enumerate(rows):
            item, turned = key[row["item"]], place >= len(rows) - other
            right = ["answer" in item.answer_a, item.answer_b is not None and "answer" in item.answer_b]
            row |= {"preference": "A" if right[0] != turned else "B"} if item.kind == "pairwise" else {}
            row |= {"rating": "5" if right[0] != turned else "2"} if item.kind == "rating" else {}
        with to.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)


@pytest.fixture
def desk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Desk:
    return Desk(tmp_path, capsys)


def test_from_sheets_to_the_card(desk: Desk) -> None:
    out, back = desk.folder / "sheets", desk.folder / "back"
    made = desk.hone("export", "triage", "--to", out)
    assert (made["rows"], made["identical"]) == (16 + 32, 4)
    assert not list(out.rglob("*key*")), "the key is not among the sheets"
    back.mkdir()
    for who, other in (("anna", 0), ("ben", 0), ("cara", 2)):
        desk.fill(made["sheet"], out / "pairwise.csv", back / f"pairwise.{who}.csv", other)
        desk.fill(made["sheet"], out / "rating.csv", back / f"rating.{who}.csv")
    found = desk.hone("import", back, "--to", desk.folder / "again")
    # 15 of 16 go to the tuned model, one to the base, four copies are ties: (15 + 2) / 20.
    preference = found["preference"]
    assert (preference["wins"], preference["losses"], preference["ties"]) == (15, 1, 4)
    assert preference["value"] == pytest.approx(17 / 20)
    assert (found["annotators"], found["answers"], found["missing"], found["open"]) == (3, 3 * 48, 0, 2)
    assert found["ratings"]["difference"] == pytest.approx((15 * 3 - 3) / 16)
    alpha = {item["name"]: item["score"]["value"] for item in found["agreement"] if item["kind"] == "rating"}
    assert alpha == {"Krippendorff's alpha, ordinal": 1.0, "Krippendorff's alpha, interval": 1.0}
    written = [Path(path).name for path in found["adjudication"]]
    assert written == ["adjudication-pairwise.csv", "adjudication-pairwise.json", "adjudication-pairwise.xml"]
    sheet = desk.folder / "again" / "adjudication-pairwise.csv"
    with sheet.open(newline="", encoding="utf-8") as stream:
        assert sorted(row["answers"] for row in csv.DictReader(stream)) in (
            ["A; A; B", "B; B; A"],
            ["A; A; B"] * 2,
            ["B; B; A"] * 2,
        )
    desk.fill(made["sheet"], sheet, desk.folder / "decided.csv", other=1)
    decided = desk.hone("import", back, "--adjudicated", desk.folder / "decided.csv")
    assert (decided["adjudicated"], decided["open"], decided["preference"]["wins"]) in ((2, 0, 14), (2, 0, 16))

    report = build_report(RunRecord.load(desk.root, desk.run))
    assert [item.annotators for item in report.human] == [3]
    html = report_html(report)
    assert "What people say" in html and "Fleiss" in html and "<script>" not in html
    card = model_card(VersionRecord.load(Store(desk.root), desk.fixture.refs["register"]), "merged")
    assert "## What people say" in card and "3 people compared merged with base blind on 20 items" in card
    assert "anna" not in card + html


def test_missing_answers_are_said_by_name_and_row(desk: Desk) -> None:
    out = desk.folder / "sheets"
    made = desk.hone("export", "triage", "--to", out, "--kind", "pairwise", "--items", "12")
    desk.fill(made["sheet"], out / "pairwise.csv", desk.folder / "anna.csv")
    lines = (desk.folder / "anna.csv").read_text().splitlines(keepends=True)
    codes = [item.code for item in desk.key(made["sheet"]).items]
    short = desk.folder / "ben.csv"
    with (desk.folder / "anna.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    with short.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows[:-1])
    found = desk.hone("import", desk.folder / "anna.csv", short)
    assert lines and found["missing"] == 1
    assert f"ben did not answer 1 of {len(codes)} pairwise items: {codes[-1]}" in found["warnings"]


def test_what_cannot_be_is_refused(desk: Desk) -> None:
    out = desk.folder / "sheets"
    made = desk.hone("export", "triage", "--to", out)
    again = desk.hone("export", "triage", "--to", out, expect=ExitCode.CONFIG)
    assert "not empty" in again["error"]["message"]
    unknown = desk.hone("export", "triage", "--to", desk.folder / "x", "--against", "tfidf", expect=ExitCode.CONFIG)
    assert unknown["error"]["fix"] == "there is base"
    empty = desk.hone("import", out / "pairwise.csv", expect=ExitCode.DATA)
    assert "not one answer" in empty["error"]["message"]
    key = human_folder(desk.root, made["sheet"]) / "key.json"
    key.rename(key.with_name("elsewhere.json"))
    lost = desk.hone("import", out / "pairwise.csv", expect=ExitCode.CONFIG)
    assert f"the key of sheet {made['sheet']} is not in this workspace" in lost["error"]["message"]
