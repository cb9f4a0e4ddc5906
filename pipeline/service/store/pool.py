"""Rows that wait for a retraining, in the database: a delivery's are there once, and one run takes them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Engine, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from pipeline.service.store.tables import new_rows

_MOST_VARIABLES: Final = 500


@dataclass(frozen=True)
class Waiting:
    """How many rows of a name wait; when the first and the last of them came, in Unix seconds."""

    name: str
    rows: int
    first: float
    last: float


@dataclass(frozen=True)
class WaitingRows:
    """The rows of a name that wait, in the order in which they came, and the numbers of their deliveries."""

    numbers: tuple[int, ...]
    rows: tuple[dict[str, Any], ...]


class RowPool:
    """The table of waiting rows."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(self, name: str, delivery: str, rows: Sequence[dict[str, Any]], now: float) -> bool:
        """Note the rows of a delivery; False where they are there already, or were."""
        values = {
            "delivery": hashlib.sha256(delivery.encode()).hexdigest(),
            "name": name,
            "at": now,
            "count": len(rows),
            "rows": list(rows),
        }
        try:
            with self._engine.begin() as connection:
                connection.execute(insert(new_rows).values(values))
        except IntegrityError:
            return False
        return True

    def waiting(self) -> list[Waiting]:
        """Return every name of which rows wait."""
        query = (
            select(
                new_rows.c.name,
                func.sum(new_rows.c["count"]).label("total"),
                func.min(new_rows.c.at).label("first"),
                func.max(new_rows.c.at).label("last"),
            )
            .where(new_rows.c.run.is_(None))
            .group_by(new_rows.c.name)
        )
        with self._engine.connect() as connection:
            return [Waiting(row.name, int(row.total), row.first, row.last) for row in connection.execute(query)]

    def count(self, name: str) -> int:
        """Return how many rows of a name wait."""
        return next((waiting.rows for waiting in self.waiting() if waiting.name == name), 0)

    def read(self, name: str) -> WaitingRows:
        """Return the rows of a name that wait."""
        query = select(new_rows.c.number, new_rows.c.rows).where(new_rows.c.name == name, new_rows.c.run.is_(None))
        with self._engine.connect() as connection:
            found = connection.execute(query.order_by(new_rows.c.number)).all()
        return WaitingRows(tuple(row.number for row in found), tuple(one for row in found for one in row.rows))

    def take(self, connection: Connection, numbers: Sequence[int], run: str) -> None:
        """Note, within a transaction, that a run has the rows of some deliveries; they are kept there alone."""
        for first in range(0, len(numbers), _MOST_VARIABLES):
            part = numbers[first : first + _MOST_VARIABLES]
            taken = update(new_rows).where(new_rows.c.number.in_(part), new_rows.c.run.is_(None))
            connection.execute(taken.values(run=run, rows=[]))
