"""The tables. ``number`` orders a table's rows as they came, and is never given twice."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, BigInteger, Column, Float, ForeignKey, Index, Integer, MetaData, String, Table, Text

LAYOUT = 1
"""The version of these tables; a database of another version is refused."""

metadata = MetaData()

_ID = String(64)


def _numbered(name: str, *columns: Column[Any] | Index) -> Table:
    number: Column[Any] = Column("number", Integer, primary_key=True, autoincrement=True)
    return Table(name, metadata, number, *columns, sqlite_autoincrement=True)


layout = Table("layout", metadata, Column("version", Integer, primary_key=True))

keys = _numbered(
    "keys",
    Column("id", _ID, nullable=False, unique=True),
    Column("name", String(64), nullable=False),
    Column("scopes", JSON, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("created_at", Integer, nullable=False),
    Column("revoked_at", Integer),
    Column("requests_per_minute", Integer),
)

files = _numbered(
    "files",
    Column("id", _ID, nullable=False, unique=True),
    Column("created_at", Integer, nullable=False),
    Column("expires_at", Integer),
    Column("filename", String(255), nullable=False),
    Column("purpose", String(32), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("stored_as", String(80), nullable=False),
)

jobs = _numbered(
    "jobs",
    Column("id", _ID, nullable=False, unique=True),
    Column("created_at", Integer, nullable=False),
    Column("finished_at", Integer),
    Column("status", String(32), nullable=False, index=True),
    Column("request", JSON, nullable=False),
    Column("spec", JSON, nullable=False),
    Column("seed", BigInteger, nullable=False),
    Column("run", String(128)),
    Column("version", String(128)),
    Column("verdict", String(16)),
    Column("fine_tuned_model", String(512), index=True),
    Column("trained_tokens", BigInteger),
    Column("result_files", JSON, nullable=False),
    Column("error", JSON),
)

job_metadata = Table(
    "job_metadata",
    metadata,
    Column("job", _ID, ForeignKey("jobs.id"), primary_key=True),
    Column("key", String(64), primary_key=True),
    Column("value", String(512), nullable=False),
)

events = _numbered(
    "events",
    Column("id", _ID, nullable=False, unique=True),
    Column("job", _ID, ForeignKey("jobs.id"), nullable=False, index=True),
    Column("created_at", Integer, nullable=False),
    Column("level", String(8), nullable=False),
    Column("type", String(16), nullable=False),
    Column("message", Text, nullable=False),
    Column("data", JSON),
)

checkpoints = _numbered(
    "checkpoints",
    Column("id", _ID, nullable=False, unique=True),
    Column("job", _ID, ForeignKey("jobs.id"), nullable=False),
    Column("created_at", Integer, nullable=False),
    Column("step", Integer, nullable=False),
    Column("model", String(512), nullable=False, index=True),
    Column("metrics", JSON, nullable=False),
    Column("folder", String(512), nullable=False),
    Index("one_per_step", "job", "step", unique=True),
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("ends", Float, nullable=False, index=True),
)

outgoing = _numbered(
    "outgoing",
    Column("id", _ID, nullable=False, unique=True),
    Column("event", _ID, nullable=False),
    Column("type", _ID, nullable=False),
    Column("url", String(1024), nullable=False),
    Column("body", Text, nullable=False),
    Column("created_at", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_at", Float),
    Column("ended_at", Integer),
    Column("http_status", Integer),
    Column("problem", String(256)),
    Index("outgoing_due", "state", "next_at"),
)

new_rows = _numbered(
    "new_rows",
    Column("delivery", String(64), nullable=False, unique=True),
    Column("name", _ID, nullable=False),
    Column("at", Float, nullable=False),
    Column("count", Integer, nullable=False),
    Column("rows", JSON, nullable=False),
    Column("run", String(128)),
    Index("new_rows_waiting", "run", "name"),
)
