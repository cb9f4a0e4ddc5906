"""The database: opened once, its tables made where they are missing, every change one transaction."""

from __future__ import annotations

import secrets
import time
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import Engine, Select, Table, create_engine, event, insert, inspect, select, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, NoSuchModuleError

from pipeline.core.errors import ConfigError, EnvironmentMissing, StorageError
from pipeline.service.store import tables

BUSY_SECONDS = 30
"""How long a writer waits for another one in SQLite."""

Order = Literal["asc", "desc"]


class UnknownCursor(LookupError):
    """``after`` names nothing of the list."""


def sqlite_url(path: Path) -> str:
    """Return the address of a database in a file."""
    return f"sqlite:///{path}"


def open_database(url: str) -> Engine:
    """Return the database behind a SQLAlchemy address, with all tables.

    SQLite is forced to disk at every commit: what was acknowledged survives the machine's death.

    Raises:
        ConfigError: this is no such address, or its tables are of another version.
        EnvironmentMissing: its driver is not installed.
        StorageError: it cannot be opened.
    """
    try:
        engine = create_engine(url, pool_pre_ping=True)
    except (ArgumentError, NoSuchModuleError) as error:
        fix = "write sqlite:///PATH, or postgresql+psycopg://USER:PASSWORD@HOST/NAME"
        raise ConfigError("this is no address of a database", where="--database", fix=fix) from error
    except ModuleNotFoundError as error:
        message = f"the database's driver {error.name} is not installed"
        raise EnvironmentMissing(message, where="--database", fix=f"pip install {error.name}") from error
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _durable)
    try:
        tables.metadata.create_all(engine)
        add_columns(engine, tables.keys)
        _check_layout(engine)
    except DatabaseError as error:
        place = make_url(url).render_as_string(hide_password=True)
        raise StorageError("the database cannot be opened", where=place, fix="check the address and its rights") from (
            error
        )
    return engine


def _durable(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    for setting in (
        "journal_mode = WAL",
        "synchronous = FULL",
        "foreign_keys = ON",
        f"busy_timeout = {BUSY_SECONDS}000",
    ):
        cursor.execute(f"PRAGMA {setting}")
    cursor.close()


def _check_layout(engine: Engine) -> None:
    with engine.begin() as connection:
        known = connection.execute(select(tables.layout.c.version)).scalar()
        if known is None:
            connection.execute(insert(tables.layout).values(version=tables.LAYOUT))
        elif known != tables.LAYOUT:
            raise ConfigError(
                f"the database has tables of version {known}; this hone reads version {tables.LAYOUT}",
                where="--database",
                fix="name another database, or run the hone that made it",
            )


def add_columns(engine: Engine, table: Table) -> None:
    """Add the columns that a table of an earlier hone lacks; they are null in its rows."""
    known = {column["name"] for column in inspect(engine).get_columns(table.name)}
    with engine.begin() as connection:
        for column in table.columns:
            if column.name not in known:
                kind = column.type.compile(engine.dialect)
                connection.execute(text(f"ALTER TABLE {table.name} ADD COLUMN {column.name} {kind}"))


def new_id(kind: str) -> str:
    """Return an id that nobody can guess: ``file-`` and 24 characters, for example."""
    return f"{kind}-{secrets.token_hex(12)}"


def now() -> int:
    """Return the time in whole Unix seconds."""
    return int(time.time())


def paged(
    engine: Engine, table: Table, query: Select[Any], *, after: str | None, limit: int, order: Order
) -> tuple[list[Any], bool]:
    """Return at most ``limit`` rows of a query behind the row ``after``, and whether there are more.

    Raises:
        UnknownCursor: ``after`` is no row that the query has.
    """
    number = table.c.number
    with engine.connect() as connection:
        if after is not None:
            row = connection.execute(query.where(table.c.id == after)).one_or_none()
            if row is None:
                raise UnknownCursor(after)
            query = query.where(number < row.number if order == "desc" else number > row.number)
        found = connection.execute(query.order_by(number.desc() if order == "desc" else number).limit(limit + 1)).all()
    return list(found[:limit]), len(found) > limit
