"""Many small deliveries become one run, once there are enough rows and it is quiet."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import update

from pipeline.core.errors import ConfigError
from pipeline.service.refusal import Refused
from pipeline.service.retraining.gatherer import AGAIN_SECONDS, LONGEST_QUIETS, Gatherer
from pipeline.service.store.pool import RowPool
from pipeline.service.store.records import Records
from pipeline.service.store.tables import new_rows
from schemas.retraining import GatherPolicy
from tests.support.service import database_of

QUIET = 600.0


class Waiting:
    """A pool, a gatherer that wants 10 rows and 10 quiet minutes, and the time, which passes when it is told to."""

    def __init__(self, root: Path) -> None:
        (root / "service").mkdir(exist_ok=True)
        self.records = Records.open(database_of(root))
        self.pool = RowPool(self.records.engine)
        self.now = 1_000_000.0
        self.runs: list[list[int]] = []
        self.error: Exception | None = None
        self.came = 0
        policy = GatherPolicy(minimum_rows=10, quiet_minutes=QUIET / 60)
        self.gatherer = Gatherer(self.pool, policy, self._start, lambda: self.now)

    def _start(self, name: str) -> str:
        if self.error is not None:
            raise self.error
        found = self.pool.read(name)
        with self.records.engine.begin() as connection:
            self.pool.take(connection, found.numbers, f"{name}-run")
        self.runs.append([row["n"] for row in found.rows])
        return f"{name}-run"

    def come(self, rows: int, name: str = "triage") -> None:
        first = self.came
        self.came += rows
        self.pool.add(name, f"msg_{first}_{name}", [{"n": number} for number in range(first, self.came)], self.now)

    def look_after(self, seconds: float) -> int:
        self.now += seconds
        return len(self.gatherer.look())


@pytest.fixture
def waiting(tmp_path: Path) -> Iterator[Waiting]:
    made = Waiting(tmp_path)
    yield made
    made.records.close()


def test_many_small_deliveries_are_one_run(waiting: Waiting) -> None:
    for _ in range(12):
        waiting.come(1)
        assert waiting.look_after(QUIET - 1) == 0
    assert waiting.look_after(1) == 1
    assert waiting.runs == [list(range(12))]
    assert waiting.look_after(10 * QUIET) == 0 and waiting.pool.waiting() == []


def test_too_few_rows_wait_however_long(waiting: Waiting) -> None:
    waiting.come(9)
    assert waiting.look_after(100 * QUIET) == 0
    waiting.come(1)
    assert waiting.look_after(0) == 1  # the first has waited long enough


def test_rows_that_never_cease_start_a_run_all_the_same(waiting: Waiting) -> None:
    """One every 5 minutes: it is never quiet, and after 12 times 10 minutes 24 are there, and the 25th."""
    looks = 0
    while not waiting.runs:
        waiting.come(1)
        waiting.look_after(QUIET / 2)
        looks += 1
    assert looks == 2 * LONGEST_QUIETS and waiting.runs == [list(range(24))]


def test_names_wait_each_for_itself(waiting: Waiting) -> None:
    waiting.come(6, "one")
    waiting.come(6, "other")
    assert waiting.look_after(QUIET) == 0
    waiting.come(10, "one")
    assert waiting.look_after(QUIET) == 1
    assert [(one.name, one.rows) for one in waiting.pool.waiting()] == [("other", 6)]


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (Refused("too_soon", "x", retry_after=7200), 7200.0),
        (ConfigError("rows of jane"), AGAIN_SECONDS),
        (ZeroDivisionError("rows of jane"), AGAIN_SECONDS),
    ],
)
def test_what_cannot_be_started_waits_and_loses_nothing(waiting: Waiting, error: Exception, seconds: float) -> None:
    waiting.come(10)
    waiting.error = error
    assert waiting.look_after(QUIET) == 0
    waiting.error = None
    waiting.come(1)
    assert waiting.look_after(seconds - 1) == 0
    assert waiting.look_after(1) + waiting.look_after(QUIET) == 1
    assert waiting.runs == [list(range(11))]


def test_a_delivery_is_kept_once_and_over_a_restart(tmp_path: Path, waiting: Waiting) -> None:
    rows = [{"n": 1}, {"n": 2}]
    assert waiting.pool.add("triage", "msg_1", rows, 5.0) and not waiting.pool.add("triage", "msg_1", rows, 6.0)
    again = Records.open(database_of(tmp_path))
    pool = RowPool(again.engine)
    assert pool.read("triage").rows == ({"n": 1}, {"n": 2})
    with again.engine.begin() as connection:
        pool.take(connection, pool.read("triage").numbers, "run")
    assert not waiting.pool.add("triage", "msg_1", rows, 7.0)
    assert waiting.pool.waiting() == []
    with again.engine.connect() as connection:  # what a run has is kept by it alone
        assert connection.execute(new_rows.select()).one().rows == []
    again.close()


def test_a_row_is_taken_by_one_run(waiting: Waiting) -> None:
    waiting.come(2)
    numbers = waiting.pool.read("triage").numbers
    for run in ("one", "other"):
        with waiting.records.engine.begin() as connection:
            waiting.pool.take(connection, numbers, run)
    with waiting.records.engine.connect() as connection:
        assert connection.execute(new_rows.select()).one().run == "one"
    with waiting.records.engine.begin() as connection:  # what came while it was read waits on
        connection.execute(update(new_rows).values(run=None))
        waiting.pool.take(connection, (), "none")
    assert len(waiting.pool.waiting()) == 1
