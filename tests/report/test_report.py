from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.core.errors import IntegrityError
from pipeline.core.workspace import Store
from pipeline.execute import load
from pipeline.report.record import RunRecord
from pipeline.report.report import build_report, report_json
from pipeline.report.types import OverrideNote, Registration, Report
from pipeline.report.write import write_report
from tests.support.run_fixture import RunFixture


def test_the_gain_is_the_test_against_the_best_baseline(record: RunRecord) -> None:
    report = build_report(record)
    assert report.gain is not None
    # 18/20 - 4/20
    assert (report.gain.candidate, report.gain.reference) == ("seed-0", "base")
    assert report.gain.difference == pytest.approx(0.7, abs=1e-12)
    assert report.answer == "ship"


def test_changes_are_counted_over_all_items_and_shown_in_order(record: RunRecord) -> None:
    changes = build_report(record).changes
    assert changes is not None
    # base right on 0-3, tuned on 1-18: 4-18 were fixed, 0 was broken, as McNemar's two counts say
    assert (changes.n, changes.fixed, changes.broken) == (20, 15, 1)
    assert [item.id for item in changes.fixed_examples] == ["t4", "t5", "t6", "t7", "t8"]
    assert [item.id for item in changes.broken_examples] == ["t0"]
    gain = build_report(record).gain
    assert gain is not None and (gain.only_candidate, gain.only_reference) == (changes.fixed, changes.broken)


def test_costs_are_summed_by_stage_and_peaks_are_not(record: RunRecord) -> None:
    costs = {cost.stage: cost for cost in build_report(record).costs}
    # evaluate: two baselines, retention before and after, seed 0 and two variants, 3 CPU-s each
    assert (costs["evaluate"].calls, costs["evaluate"].cpu_seconds) == (7, pytest.approx(21.0))
    assert costs["evaluate"].peak_memory_bytes == 700_000_000
    assert costs["plan"].reused == 1 and costs["data"].reused == 0
    assert sum(cost.cpu_seconds for cost in costs.values()) == pytest.approx(0.5 + 2 + 30 + 21 + 2 + 40 + 1)


def test_an_artifact_that_two_calls_share_is_paid_once(fixture: RunFixture) -> None:
    run = fixture.build()
    path = fixture.root / "runs" / run / "calls.json"
    calls = json.loads(path.read_text())
    calls["evaluate.variant-merged"] = calls["evaluate.seed-0"]
    path.write_text(json.dumps(calls))
    costs = {cost.stage: cost for cost in build_report(RunRecord.load(fixture.root, run)).costs}
    assert costs["evaluate"].calls == 6


def test_planned_stands_beside_measured(record: RunRecord) -> None:
    rows = {row.quantity: (row.planned, row.measured) for row in build_report(record).planned}
    assert rows["steps of one training"] == (20, 20)
    # training 30, seven evaluations of 3, two variants of 1
    assert rows["CPU time of training, evaluations and variants"] == (25.0, 53.0)
    assert rows["peak memory of training"] == (10_000_000, 900_000_000)
    gpu = build_report(record).gpu
    assert gpu is not None and (gpu.gpu, gpu.dollars) == ("T4", 0.0148)


def test_a_test_split_that_can_show_nothing_is_a_limitation(fixture: RunFixture) -> None:
    run = fixture.build()
    plan = load(Store(fixture.root), fixture.refs["plan"]).artifact
    power = plan.power.model_copy(update={"minimum_detectable_gain": None})
    fixture.describe("plan", plan.model_copy(update={"power": power}))
    assert "no gain, however large" in "\n".join(build_report(RunRecord.load(fixture.root, run)).limitations)


def test_limitations_name_what_the_numbers_cannot_show(record: RunRecord) -> None:
    text = "\n".join(build_report(record).limitations)
    assert "20 test rows" in text and "31.0 points" in text
    assert "One seed" in text
    assert "Of 20 test rows, 2 have the very words of a training row and 5 nearly those." in text
    assert "On the 5 test items that repeat or nearly repeat a training row" in text
    assert "1 answer of 20" in text
    assert "0% of the training data" in text
    assert "10 rows of 120" in text
    assert "2 training rows of 82" in text
    assert "not served" not in text


def test_a_refusal_says_first_what_was_not_met(fixture: RunFixture) -> None:
    fixture.promoted = False
    report = build_report(RunRecord.load(fixture.root, fixture.build()))
    assert report.answer == "do not ship"
    # 16/20 before, 15/20 after; the condition's bound is -35 points and its threshold -20
    assert report.reasons[0] == (
        "Not met: What the base could do before is not shown to be kept: commands 80.0% before, 75.0% after "
        "(-5.0 points, interval -30.0 to +15.0, n = 20); the loss may be 35.0 points, at most 20.0 points are allowed."
    )
    assert len([reason for reason in report.reasons if reason.startswith("Met:")]) == 3


def test_an_override_is_the_first_reason_and_does_not_change_the_verdict(fixture: RunFixture) -> None:
    fixture.promoted = False
    record = RunRecord.load(fixture.root, fixture.build())
    note = OverrideNote(reason="needed for the fair", time="2026-11-24T09:00:00+00:00")
    report = build_report(record, Registration(version="triage@2", overrides=(note,)))
    assert report.answer == "do not ship"
    assert "needed for the fair" in report.reasons[0]


def test_an_unfinished_run_says_what_is_missing(fixture: RunFixture) -> None:
    report = build_report(RunRecord.load(fixture.root, fixture.build(until="evaluate.seed-0")))
    assert report.answer == "undecided" and report.gain is None and report.changes is None
    missing = next(reason for reason in report.reasons if reason.startswith("Not reached"))
    assert "register" in missing and "optimize.w4a16" in missing and "evaluate.baseline-base" not in missing
    assert [call.id for call in report.calls if call.status == "not reached"] == [
        "evaluate.retention-commands-after",
        "optimize.merged",
        "evaluate.variant-merged",
        "optimize.w4a16",
        "evaluate.variant-w4a16",
        "serve",
        "register",
    ]


def test_a_failed_call_is_shown_with_its_error_and_what_to_do(fixture: RunFixture) -> None:
    report = build_report(RunRecord.load(fixture.root, fixture.build(until="data", failed="data")))
    assert "data failed: messages.jsonl:7: row 7 is no JSON. What to do: repair it." in report.reasons
    assert report.data is None and report.subjects == ()


def test_the_first_page_shows_a_description_on_one_line_and_in_its_order(fixture: RunFixture) -> None:
    fixture.spec = {"description": "Sort \u202e these\n  letters.\n"}
    asked = build_report(RunRecord.load(fixture.root, fixture.build())).asked
    assert asked[0].text == "Sort <U+202E> these letters. (extraction)"


def test_a_text_that_begins_with_a_slash_is_shown_whole_and_a_path_without_its_folders(fixture: RunFixture) -> None:
    fixture.spec = {"data": {"path": "/home/someone/rows.jsonl", "system": "/no_think Answer yes/no."}}
    rows = {row.key: row.value for row in build_report(RunRecord.load(fixture.root, fixture.build())).configuration}
    assert (rows["data.path"], rows["data.system"]) == ("rows.jsonl", "/no_think Answer yes/no.")


def test_configuration_says_who_chose_each_value(record: RunRecord) -> None:
    rows = {row.key: row for row in build_report(record).configuration}
    assert (rows["train.lora.r"].value, rows["train.lora.r"].chosen_by) == ("16", "plan")
    assert rows["train.lora.r"].reason == "usual for a small task"
    assert rows["train.learning_rate"].chosen_by == "spec"
    assert (rows["train.packing"].value, rows["train.packing"].chosen_by) == ("false", "default")
    assert rows["evaluate.target"].chosen_by == "spec"


def test_items_that_do_not_match_are_refused(fixture: RunFixture) -> None:
    run = fixture.build()
    record = RunRecord.load(fixture.root, run)
    path = record.evaluations["seed-0"].path / "items.parquet"
    _reverse(path)
    with pytest.raises(IntegrityError, match="different items"):
        build_report(record)
    path.write_bytes(b"no parquet")
    with pytest.raises(IntegrityError, match="cannot be read"):
        build_report(record)


def test_a_damaged_training_log_is_named(fixture: RunFixture) -> None:
    record = RunRecord.load(fixture.root, fixture.build())
    path = record.models["seed-0"].path / "log.jsonl"
    path.write_text('{"loss": 1}\n')
    with pytest.raises(IntegrityError) as raised:
        build_report(record)
    assert raised.value.where == str(path)


def test_the_json_holds_the_whole_report(record: RunRecord) -> None:
    report = build_report(record)
    assert Report.model_validate_json(report_json(report)) == report


def test_the_same_run_gives_the_same_bytes_and_no_folder_of_this_machine(record: RunRecord, tmp_path: Path) -> None:
    first, second = write_report(record, tmp_path / "a"), write_report(record, tmp_path / "b")
    for one, other in zip(vars(first).values(), vars(second).values(), strict=True):
        text = one.read_text(encoding="utf-8")
        assert text == other.read_text(encoding="utf-8")
        assert "/home/someone" not in text and str(tmp_path) not in text
    assert write_report(record).html == record.directory / "report" / "report.html"


def _reverse(path: Path) -> None:
    from pyarrow import parquet

    table = parquet.read_table(path)
    parquet.write_table(table.take(list(range(table.num_rows - 1, -1, -1))), path)
