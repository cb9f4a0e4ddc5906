"""What the gateway's tables hold becomes Parquet partitions, day by day, and leaves both when it is old enough.

A day is written from the tables as a whole while it may still grow, so that writing it again is no harm whatever died
before. Once it is over and written for good, its texts leave the tables: the partition alone has them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from typing import Any, Final

from pipeline.monitor.partitions import DAY_SECONDS, Partitions, bounds, columns, day_of
from pipeline.service.gateway.store import GatewayStore

CLOSES_AFTER: Final = 6 * 3600.0
"""Seconds after its end at which a day is over: by then every answer that began in it is in the tables."""


@dataclass(frozen=True)
class Rotation:
    """Keeps the partitions as the tables are.

    Args:
        store: the gateway's tables.
        partitions: where they go.
        days: for how many days anything is kept.
    """

    store: GatewayStore
    partitions: Partitions
    days: int

    def rotate(self, now: float) -> int:
        """Write every day that is not over yet, or was not written since; return how many answers were written.

        What is older than ``days`` is removed from tables and partitions.
        """
        with self.partitions.lock():
            self.partitions.keep_for(self.days)
            self.store.forget(self.days, now)
            self.partitions.forget(self.days, now)
            oldest = day_of(now - self.days * DAY_SECONDS)
            return sum(self._rotate_day(day, now) for day in self.store.days() if day > oldest)

    def _rotate_day(self, day: date, now: float) -> int:
        start, end = bounds(day)
        closed = now >= end + CLOSES_AFTER
        written = 0
        with closing(self.store.answers_between(start, end)) as answers:
            for version, rows in groupby(answers, key=lambda row: row["version"]):
                if not self.partitions.is_closed("answers", day, version):
                    written += self.partitions.write("answers", day, map(_answer, rows), closed=closed, version=version)
        if not self.partitions.is_closed("feedback", day):
            with closing(self.store.feedback_between(start, end)) as feedback:
                self.partitions.write("feedback", day, map(_feedback, feedback), closed=closed)
        if closed:
            self.store.drop_texts(start, end)
        return written


def _feedback(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in columns("feedback").names}


def _answer(row: Mapping[str, Any]) -> dict[str, Any]:
    request = row["request"]
    values = {name: row[name] for name in columns("answers").names}
    return {**values, "request": None if request is None else json.dumps(request, ensure_ascii=False)}
