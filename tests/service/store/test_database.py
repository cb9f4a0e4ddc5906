"""The database: what is committed stays, and what is no database of ours is said so."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import text

from pipeline.core.errors import ConfigError, EnvironmentMissing, StorageError
from pipeline.service.store.database import open_database, sqlite_url


def test_sqlite_is_forced_to_disk_at_every_commit(tmp_path: Path) -> None:
    engine = open_database(sqlite_url(tmp_path / "a.db"))
    with engine.connect() as connection:
        read = [connection.execute(text(f"PRAGMA {name}")).scalar() for name in ("journal_mode", "synchronous")]
    assert read == ["wal", 2]  # 2 is FULL
    engine.dispose()


def test_a_database_of_another_version_is_refused(tmp_path: Path) -> None:
    engine = open_database(sqlite_url(tmp_path / "a.db"))
    with engine.begin() as connection:
        connection.execute(text("UPDATE layout SET version = 999"))
    engine.dispose()
    with pytest.raises(ConfigError, match="version 999"):
        open_database(sqlite_url(tmp_path / "a.db"))


@pytest.mark.parametrize("address", ["nonsense", "nosuchdialect://x/y"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(ConfigError, match="no address"):
        open_database(address)


def test_a_missing_driver_is_named() -> None:
    with pytest.raises(EnvironmentMissing, match="driver"):
        open_database("mssql+pymssql://host/name")


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.db").write_bytes(b"no database at all, but quite long enough to be read as a header of one")
    with pytest.raises(StorageError):
        open_database(sqlite_url(tmp_path / "a.db"))
    with pytest.raises(StorageError):
        open_database(sqlite_url(tmp_path / "missing" / "a.db"))
