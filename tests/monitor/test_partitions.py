"""Partitions are written whole, read whole, and gone when they are old."""

from __future__ import annotations

import json
import threading
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.dataset
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.errors import ConfigError, IntegrityError
from pipeline.monitor.captured import Captured
from pipeline.monitor.partitions import DAY_SECONDS, Partitions, bounds, day_of

DAY = date(2026, 11, 27)
NOON = datetime(2026, 11, 27, 12, tzinfo=UTC).timestamp()


def answer(number: int, at: float = NOON, **changed: Any) -> dict[str, Any]:
    request = {"messages": [{"role": "user", "content": f"question {number}"}]}
    values = {
        "id": f"a{number}",
        "response_id": f"r{number}",
        "at": at + number,
        "key": "k",
        "unit": None,
        "path": "chat/completions",
        "rollout": None,
        "arm": None,
        "shadowed": False,
        "status": 200,
        "failed": False,
        "refused": False,
        "first_byte_ms": 1.0,
        "answer_ms": 2.0,
        "confidence": 0.5,
        "input_length": 10,
        "length": 6,
        "request": json.dumps(request),
        "answer": "refund",
    }
    return values | changed


def said(answer: str, at: float = NOON, **changed: Any) -> dict[str, Any]:
    return {
        "id": f"f-{answer}-{at}",
        "answer": answer,
        "at": at,
        "score": None,
        "correction": None,
        "comment": None,
    } | changed


def test_an_open_day_is_written_anew_and_a_closed_one_takes_its_place(tmp_path: Path) -> None:
    partitions = Partitions(tmp_path)
    assert partitions.write("answers", DAY, [answer(1)], closed=False, version="triage@3") == 1
    assert partitions.write("answers", DAY, [answer(1), answer(2)], closed=False, version="triage@3") == 2
    assert [row["id"] for row in partitions.read("answers", DAY, "triage@3")] == ["a1", "a2"]
    assert not partitions.is_closed("answers", DAY, "triage@3")
    partitions.write("answers", DAY, [answer(1), answer(2), answer(3)], closed=True, version="triage@3")
    assert partitions.is_closed("answers", DAY, "triage@3")
    place = tmp_path / "answers" / "version=triage@3" / "day=2026-11-27"
    assert [path.name for path in place.iterdir()] == ["closed.parquet"]
    assert partitions.versions() == ["triage@3"] and partitions.days("answers", "triage@3") == [DAY]


def test_a_closed_partition_is_right_where_a_death_left_both(tmp_path: Path) -> None:
    partitions = Partitions(tmp_path)
    partitions.write("answers", DAY, [answer(1), answer(2)], closed=True, version="triage@3")
    partitions.write("answers", DAY, [answer(1)], closed=False, version="triage@3")
    assert len(partitions.read("answers", DAY, "triage@3")) == 2


def test_a_day_without_rows_leaves_nothing(tmp_path: Path) -> None:
    assert Partitions(tmp_path).write("feedback", DAY, [], closed=True) == 0
    assert list(tmp_path.iterdir()) == []


def test_rows_that_break_off_leave_what_was_there(tmp_path: Path) -> None:
    partitions = Partitions(tmp_path)
    partitions.write("answers", DAY, [answer(1)], closed=False, version="triage@3")

    def broken() -> Any:
        yield answer(1)
        yield answer(2)
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        partitions.write("answers", DAY, broken(), closed=False, version="triage@3")
    assert len(partitions.read("answers", DAY, "triage@3")) == 1
    assert len(list((tmp_path / "answers" / "version=triage@3" / "day=2026-11-27").iterdir())) == 1


def test_others_read_the_folders_as_columns(tmp_path: Path) -> None:
    Partitions(tmp_path).write("answers", DAY, [answer(1)], closed=True, version="triage@3")
    table = pyarrow.dataset.dataset(tmp_path / "answers", partitioning="hive").to_table()
    assert table.column("version").to_pylist() == ["triage@3"]
    assert table.column("day").to_pylist() == ["2026-11-27"]
    assert table.column("at").to_pylist() == [datetime(2026, 11, 27, 12, 0, 1, tzinfo=UTC)]


def test_what_is_old_is_gone_with_its_whole_day(tmp_path: Path) -> None:
    partitions = Partitions(tmp_path)
    days = [DAY - timedelta(days=number) for number in range(4)]
    for day in days:
        partitions.write("answers", day, [answer(1)], closed=True, version="triage@3")
        partitions.write("feedback", day, [said("a1")], closed=True)
    # At noon of the 27th, two days ago was noon of the 25th: that day has rows which are older.
    assert partitions.forget(2, NOON) == 4
    assert partitions.days("answers", "triage@3") == partitions.days("feedback") == [days[1], days[0]]


@given(st.integers(1, 400), st.floats(0, 4e9, allow_nan=False))
def test_no_row_outlives_its_days(days: int, at: float) -> None:
    """Whatever the time, a day that is kept has no row that is older than ``days``."""
    now = at + days * DAY_SECONDS
    last = day_of(now - days * DAY_SECONDS)
    assert bounds(last + timedelta(days=1))[0] > now - days * DAY_SECONDS
    start, end = bounds(day_of(at))
    assert start <= at < end


def test_how_long_rows_are_kept_is_written_down(tmp_path: Path) -> None:
    partitions = Partitions(tmp_path)
    assert partitions.retention_days() is None
    partitions.keep_for(7)
    assert partitions.retention_days() == 7
    (tmp_path / "retention.json").write_text("{}")
    with pytest.raises(IntegrityError, match="how long answers are kept is damaged"):
        partitions.retention_days()


def test_a_damaged_partition_is_named(tmp_path: Path) -> None:
    partitions = Partitions(tmp_path)
    partitions.write("answers", DAY, [answer(1)], closed=True, version="triage@3")
    path = tmp_path / "answers" / "version=triage@3" / "day=2026-11-27" / "closed.parquet"
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(IntegrityError) as caught:
        partitions.read("answers", DAY, "triage@3")
    assert caught.value.where == str(path)


@pytest.mark.parametrize("version", ["../../etc@1", "triage", "a/b@1", "", "triage@champion"])
def test_a_name_that_is_no_version_makes_no_path(tmp_path: Path, version: str) -> None:
    with pytest.raises(ConfigError, match="is no version"):
        Partitions(tmp_path).write("answers", DAY, [answer(1)], closed=True, version=version)


def test_one_process_writes_at_a_time(tmp_path: Path) -> None:
    partitions, order = Partitions(tmp_path), []

    def second() -> None:
        with Partitions(tmp_path).lock():
            order.append("second")

    with partitions.lock():
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(0.3)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_rows_have_their_feedback_and_leave_out_what_says_nothing(tmp_path: Path) -> None:
    partitions = Partitions(tmp_path)
    more = [
        answer(2, shadowed=True),
        answer(3, path="embeddings"),
        answer(4, status=400, answer_ms=None),
        answer(5, failed=True, status=500, answer_ms=None, length=None, answer=None, refused=None),
        answer(6, request=None, answer=None),
    ]
    partitions.write("answers", DAY, [answer(1), *more], closed=True, version="triage@3")
    later = NOON + DAY_SECONDS
    partitions.write("feedback", DAY, [said("a1", score=1.0), said("a9", score=0.0)], closed=True)
    partitions.write("feedback", day_of(later), [said("a1", later, score=0.0, correction="login")], closed=False)
    rows = list(Captured(partitions, "triage@3").rows())
    assert [(row.id, row.input, row.output, row.score, row.correction, row.failed) for row in rows] == [
        ("a1", "question 1", "refund", 0.5, "login", False),
        ("a5", "question 5", None, None, None, True),
        ("a6", None, None, None, None, False),
    ]
    assert rows[0].at == NOON + 1
    assert (rows[2].input_length, rows[2].output_length) == (10, 6)
    assert list(Captured(partitions, "triage@4").rows()) == []
