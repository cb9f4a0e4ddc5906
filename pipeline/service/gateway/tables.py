"""The gateway's tables, beside those of the service in one database."""

from __future__ import annotations

from sqlalchemy import JSON, Boolean, Column, Float, Integer, MetaData, String, Table, Text

metadata = MetaData()

_ID = String(64)

rollouts = Table(
    "gateway_rollouts",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("name", String(64), nullable=False, index=True),
    Column("champion", String(80), nullable=False),
    Column("candidate", String(80), nullable=False),
    Column("began", Float, nullable=False),
    Column("status", String(16), nullable=False),
    Column("policy", JSON, nullable=False),
    Column("state", JSON, nullable=False),
)

events = Table(
    "gateway_events",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("rollout", _ID, nullable=False, index=True),
    Column("event", JSON, nullable=False),
)

answers = Table(
    "gateway_answers",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("response_id", String(200), index=True),
    Column("at", Float, nullable=False, index=True),
    Column("key", _ID, nullable=False),
    Column("path", String(32), nullable=False),
    Column("version", String(80), nullable=False),
    Column("rollout", _ID),
    Column("arm", String(16)),
    Column("shadowed", Boolean, nullable=False),
    Column("status", Integer, nullable=False),
    Column("failed", Boolean, nullable=False),
    Column("refused", Boolean),
    Column("first_byte_ms", Float),
    Column("answer_ms", Float),
    Column("length", Integer),
    Column("input_length", Integer),
    Column("confidence", Float),
    Column("unit", String(32)),
    Column("request", JSON(none_as_null=True)),
    Column("answer", Text),
)

feedback = Table(
    "gateway_feedback",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("answer", _ID, nullable=False, index=True),
    Column("at", Float, nullable=False),
    Column("key", _ID, nullable=False),
    Column("score", Float),
    Column("correction", Text),
    Column("comment", Text),
)
