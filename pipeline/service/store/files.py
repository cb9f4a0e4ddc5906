"""Files as the database knows them; their bytes are in `pipeline.service.files.shelf`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, Engine, Select, delete, insert, or_, select

from pipeline.service.store.database import Order, new_id, now, paged
from pipeline.service.store.tables import files
from schemas.api import Purpose


@dataclass(frozen=True)
class KnownFile:
    """A file: what its sender called it, its size in bytes, its sha256, and its name on the shelf."""

    id: str
    created_at: int
    expires_at: int | None
    filename: str
    purpose: Purpose
    size: int
    sha256: str
    stored_as: str

    @classmethod
    def new(
        cls, filename: str, purpose: Purpose, size: int, sha256: str, suffix: str, lasts: int | None = None
    ) -> KnownFile:
        """Return a file that came now and expires ``lasts`` seconds later, if it does."""
        name, time = new_id("file"), now()
        return cls(name, time, time + lasts if lasts else None, filename, purpose, size, sha256, f"{name}{suffix}")


class FileStore:
    """The table of files. One that has expired is not found any more."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(self, file: KnownFile) -> None:
        """Note a file whose bytes are on the shelf."""
        with self._engine.begin() as connection:
            add_file(connection, file)

    def get(self, name: str) -> KnownFile | None:
        """Return a file by its id."""
        with self._engine.connect() as connection:
            row = connection.execute(_living().where(files.c.id == name)).one_or_none()
        return None if row is None else _file(row)

    def page(
        self, *, after: str | None, limit: int, order: Order, purpose: str | None = None
    ) -> tuple[list[KnownFile], bool]:
        """Return a page of files, and whether there are more. Raises UnknownCursor."""
        query = _living() if purpose is None else _living().where(files.c.purpose == purpose)
        rows, more = paged(self._engine, files, query, after=after, limit=limit, order=order)
        return [_file(row) for row in rows], more

    def remove(self, name: str) -> None:
        """Forget a file."""
        with self._engine.begin() as connection:
            connection.execute(delete(files).where(files.c.id == name))

    def expire(self) -> list[str]:
        """Forget the files whose time is over, and return their names on the shelf."""
        over = files.c.expires_at <= now()
        with self._engine.begin() as connection:
            gone = list(connection.execute(select(files.c.stored_as).where(over)).scalars())
            connection.execute(delete(files).where(files.c.stored_as.in_(gone)))
        return gone


def add_file(connection: Connection, file: KnownFile) -> None:
    """Note a file within a transaction."""
    connection.execute(insert(files).values(asdict(file)))


def _living() -> Select[Any]:
    return select(files).where(or_(files.c.expires_at.is_(None), files.c.expires_at > now()))


def _file(row: Any) -> KnownFile:
    return KnownFile(**{name: getattr(row, name) for name in KnownFile.__dataclass_fields__})
