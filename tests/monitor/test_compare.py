"""All detectors together: corrected, skipped where they have nothing to read, rarely wrong."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeline.core.errors import DataError
from pipeline.monitor.choose import Chosen, choose_rows
from pipeline.monitor.compare import compare_windows, drift_report, facts
from pipeline.monitor.rows import Row
from pipeline.statistics.multiple import holm
from schemas.monitor import DriftReport, MonitorConfig
from tests.monitor.rows import rows

SMALL = MonitorConfig(window=60, reference_rows=150)


def test_adjusted_p_values_are_holms_over_what_was_read() -> None:
    readings, skipped = compare_windows(rows(150, seed=1), rows(60, seed=2), SMALL)
    assert skipped == ()
    assert [reading.p_adjusted for reading in readings] == holm([reading.p_value for reading in readings])
    assert not any(reading.drifted for reading in readings)
    assert {reading.detector for reading in readings if reading.exact} == {"errors", "refusals"}


@pytest.mark.slow
def test_a_shift_is_an_alarm_that_names_its_detectors() -> None:
    current = [*rows(30, seed=2), *rows(30, "travel", seed=2)]
    report = drift_report("triage@1", "first", Chosen(rows(150, seed=1), current, ()), SMALL)
    assert report.alarm
    drifted = {reading.detector for reading in report.readings if reading.drifted}
    assert {"vocabulary", "embedding", "domain_classifier"} <= drifted
    assert not drifted & {"errors", "refusals", "feedback", "confidence"}
    assert (report.reference.rows, report.current.rows) == (150, 60)
    assert DriftReport.model_validate_json(report.model_dump_json()) == report


@pytest.mark.slow
def test_a_detector_without_enough_to_read_is_left_out_with_its_reason() -> None:
    bare = [replace(row, score=None, confidence=None) for row in rows(150, seed=1)]
    rated = [replace(row, confidence=None) for row in rows(60, seed=2)]
    readings, skipped = compare_windows(bare, rated, SMALL)
    assert {skip.detector: skip.reason for skip in skipped} == {
        "confidence": "token probabilities: 0 before and 0 now, 20 are needed",
        "feedback": "ratings: 0 before and 60 now, 20 are needed",
    }
    assert len(readings) == 8


def test_a_window_of_one_user_says_nothing() -> None:
    one = [replace(row, unit="u") for row in rows(60, seed=2)]
    with pytest.raises(DataError, match="all of one window are of one user or conversation"):
        compare_windows(rows(150, seed=1), one, SMALL)


def test_two_users_are_too_few_for_a_classifier_alone() -> None:
    two = [replace(row, unit=f"u{place % 2}") for place, row in enumerate(rows(60, seed=2))]
    one_now = MonitorConfig(detectors=("domain_classifier", "input_length"))
    readings, _ = compare_windows(rows(150, seed=1), two, one_now)
    assert [reading.detector for reading in readings] == ["domain_classifier", "input_length"]


@pytest.mark.slow
def test_the_same_windows_give_the_same_report() -> None:
    each = [drift_report("t@1", "first", Chosen(rows(150, seed=1), rows(60, seed=2), ()), SMALL) for _ in range(2)]
    assert each[0] == each[1]


def test_a_window_is_known_by_its_answers() -> None:
    first, second = rows(10, seed=1), rows(10, seed=2)
    assert facts(first).digest == facts(first[::-1]).digest != facts(second).digest
    assert facts([Row("a"), Row("b", unit="u"), Row("c", unit="u")]).units == 2
    assert (facts(first).first, facts(first).last) == (1_700_000_000.0, 1_700_000_009.0)


def test_windows_follow_the_reference_and_each_other() -> None:
    config = MonitorConfig(window=20, reference_rows=30)
    found = rows(97)
    chosen = choose_rows(found, config, history=2)
    # 30 rows are the reference; of the other 67 the last 20 are current, and there is room for three windows in all.
    assert (chosen.reference, chosen.current) == (found[:30], found[77:])
    assert chosen.past == (found[37:57], found[57:77])
    assert choose_rows(found, config, history=0).past == ()


def test_evaluated_rows_are_drawn_as_the_reference() -> None:
    config = MonitorConfig(window=20, reference_rows=30)
    evaluated = rows(50, seed=9)
    chosen = choose_rows(rows(25), config, history=3, evaluated=evaluated)
    assert len(chosen.reference) == 30 and set(chosen.reference) < set(evaluated)
    assert choose_rows(rows(25), config, history=3, evaluated=evaluated[::-1]).reference == chosen.reference
    assert chosen.current == rows(25)[5:]


def test_too_few_rows_are_counted() -> None:
    config = MonitorConfig(window=20, reference_rows=30)
    with pytest.raises(DataError, match="49 answers are captured; 50 are needed"):
        choose_rows(rows(49), config, history=1)
    with pytest.raises(DataError, match="19 answers are captured; 20 are needed"):
        choose_rows(rows(19), config, history=1, evaluated=rows(50))


@pytest.mark.slow
def test_past_windows_are_compared_too() -> None:
    config = MonitorConfig(window=60, reference_rows=150)
    chosen = Chosen(rows(150, seed=1), rows(60, "travel", seed=2), (rows(60, seed=3), rows(60, "travel", seed=4)))
    report = drift_report("t@1", "first", chosen, config)
    assert [bool(past.drifted) for past in report.past] == [False, True]
    assert [past.last for past in report.past] == [1_700_000_059.0] * 2


@pytest.mark.slow
def test_unchanged_traffic_is_seldom_an_alarm() -> None:
    # At most 5% of 30 windows: nine or more happen with probability under .0001.
    config = MonitorConfig(window=60, reference_rows=150, alpha=0.05)
    alarms = 0
    for seed in range(30):
        readings, _ = compare_windows(rows(150, seed=2 * seed), rows(60, seed=2 * seed + 1), config)
        alarms += any(reading.drifted for reading in readings)
    assert alarms <= 8
