"""All detectors together: corrected, skipped where they have nothing to read, rarely wrong."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeline.core.errors import DataError
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


def test_a_shift_is_an_alarm_that_names_its_detectors() -> None:
    current = [*rows(30, seed=2), *rows(30, "travel", seed=2)]
    report = drift_report("triage@1", "first", rows(150, seed=1), current, SMALL)
    assert report.alarm
    drifted = {reading.detector for reading in report.readings if reading.drifted}
    assert {"vocabulary", "embedding", "domain_classifier"} <= drifted
    assert not drifted & {"errors", "refusals", "feedback", "confidence"}
    assert (report.reference.rows, report.current.rows) == (150, 60)
    assert DriftReport.model_validate_json(report.model_dump_json()) == report


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


def test_the_same_windows_give_the_same_report() -> None:
    each = [drift_report("t@1", "first", rows(150, seed=1), rows(60, seed=2), SMALL) for _ in range(2)]
    assert each[0] == each[1]


def test_a_window_is_known_by_its_answers() -> None:
    first, second = rows(10, seed=1), rows(10, seed=2)
    assert facts(first).digest == facts(first[::-1]).digest != facts(second).digest
    assert facts([Row("a"), Row("b", unit="u"), Row("c", unit="u")]).units == 2
    assert (facts(first).first, facts(first).last) == (1_700_000_000.0, 1_700_000_009.0)


@pytest.mark.slow
def test_unchanged_traffic_is_seldom_an_alarm() -> None:
    # At most 5% of 30 windows: nine or more happen with probability under .0001.
    config = MonitorConfig(window=60, reference_rows=150, alpha=0.05)
    alarms = 0
    for seed in range(30):
        readings, _ = compare_windows(rows(150, seed=2 * seed), rows(60, seed=2 * seed + 1), config)
        alarms += any(reading.drifted for reading in readings)
    assert alarms <= 8
