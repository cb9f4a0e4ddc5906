"""Reads versions, aliases and logged calls straight from MLflow's SQLite tables.

Importing mlflow and opening its store takes 2.7 CPU-seconds (3.17.2, a quiet core); a run with nothing to do,
``hone show`` and ``hone serve`` read through the standard library in milliseconds. Everything is written through
MLflow's client; the tests compare both views. Connections change nothing but what a killed writer left half-done:
SQLite rolls its transaction back before anybody reads, for which the file is opened as one that may be written.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.core.errors import RegistryError
from pipeline.core.registry import Override, RegisteredVersion
from schemas.base import ArtifactRef

PREFIX = "hone."
"""Every tag that hone writes begins so."""

FINGERPRINT = f"{PREFIX}fingerprint"
CONTENT_DIGEST = f"{PREFIX}content_digest"
VERDICT = f"{PREFIX}verdict"
BEST_BASELINE = f"{PREFIX}best_baseline"
SERVED_VARIANT = f"{PREFIX}served_variant"
DIGEST = f"{PREFIX}digest."
OVERRIDE = f"{PREFIX}override."
HISTORY = f"{PREFIX}history."
RUN = f"{PREFIX}run"
CALL = f"{PREFIX}call."

_WAIT = 30.0
"""Seconds to wait for a writer's transaction."""


@dataclass(frozen=True)
class LoggedRun:
    """An MLflow run: its id, its status in MLflow's words, and the fingerprint logged for each call."""

    mlflow_id: str
    status: str
    calls: dict[str, str]

    @classmethod
    def of(cls, mlflow_id: str, status: str, tags: Mapping[str, str]) -> LoggedRun:
        """Return the run that has these tags."""
        return cls(mlflow_id, status, {k.removeprefix(CALL): v for k, v in tags.items() if k.startswith(CALL)})


class MlflowReader:
    """A read-only view of one MLflow database; a database that does not exist holds nothing."""

    def __init__(self, database: Path) -> None:
        self.database = database

    def versions(self, name: str | None = None) -> tuple[RegisteredVersion, ...]:
        """Return the versions that hone registered under ``name``, or under all names, by name and number."""
        with self._connect() as connection:
            if connection is None:
                return ()
            rows = connection.execute(
                "SELECT name, version, source FROM model_versions WHERE ? IS NULL OR name = ? ORDER BY name, version",
                (name, name),
            ).fetchall()
            found = [self._version(connection, *row) for row in rows]
        return tuple(version for version in found if version is not None)

    def find(self, fingerprint: str, content_digest: str) -> RegisteredVersion | None:
        """Return the version with this fingerprint and content, or None."""
        with self._connect() as connection:
            if connection is None:
                return None
            row = connection.execute(
                "SELECT v.name, v.version, v.source FROM model_versions v "
                "JOIN model_version_tags f ON f.name = v.name AND f.version = v.version "
                "JOIN model_version_tags c ON c.name = v.name AND c.version = v.version "
                "WHERE f.key = ? AND f.value = ? AND c.key = ? AND c.value = ?",
                (FINGERPRINT, fingerprint, CONTENT_DIGEST, content_digest),
            ).fetchone()
            return None if row is None else self._version(connection, *row)

    def alias(self, name: str, alias: str) -> int | None:
        """Return the number that the alias points at, or None."""
        with self._connect() as connection:
            if connection is None:
                return None
            row = connection.execute(
                "SELECT version FROM registered_model_aliases WHERE name = ? AND alias = ?", (name, alias)
            ).fetchone()
        return None if row is None else int(row[0])

    def history(self, name: str, alias: str) -> tuple[int, ...]:
        """Return the versions that the alias was set to, oldest first, the present one last."""
        with self._connect() as connection:
            if connection is None:
                return ()
            row = connection.execute(
                "SELECT value FROM registered_model_tags WHERE name = ? AND key = ?", (name, HISTORY + alias)
            ).fetchone()
        return history_of(row[0] if row is not None else "[]", self.alias(name, alias))

    def logged_run(self, name: str, run_id: str) -> LoggedRun | None:  # noqa: ARG002 - a server wants the experiment
        """Return the newest MLflow run of a hone run, or None."""
        with self._connect() as connection:
            if connection is None:
                return None
            row = connection.execute(
                "SELECT r.run_uuid, r.status FROM runs r JOIN tags t ON t.run_uuid = r.run_uuid WHERE t.key = ? AND "
                "t.value = ? AND r.lifecycle_stage = 'active' ORDER BY r.start_time DESC, r.rowid DESC LIMIT 1",
                (RUN, run_id),
            ).fetchone()
            if row is None:
                return None
            tags = connection.execute("SELECT key, value FROM tags WHERE run_uuid = ?", (row[0],)).fetchall()
        return LoggedRun.of(row[0], row[1], dict(tags))

    @contextmanager
    def _connect(self) -> Iterator[sqlite3.Connection | None]:
        if not self.database.exists():
            yield None
            return
        uri = f"{self.database.resolve().as_uri()}?mode=rw"
        try:
            with closing(sqlite3.connect(uri, uri=True, timeout=_WAIT)) as connection:
                connection.execute("PRAGMA query_only = ON")
                yield connection
        except sqlite3.Error as error:
            raise RegistryError(
                f"the registry's database cannot be read: {error}",
                where=str(self.database),
                fix="restore this file, or move it away and run again to register anew",
            ) from error

    def _version(
        self, connection: sqlite3.Connection, name: str, version: int, source: str
    ) -> RegisteredVersion | None:
        """Return one version; None where somebody else than hone registered it."""
        key = (name, version)
        tags = dict(connection.execute("SELECT key, value FROM model_version_tags WHERE name = ? AND version = ?", key))
        if FINGERPRINT not in tags:
            return None
        aliases = connection.execute(
            "SELECT alias FROM registered_model_aliases WHERE name = ? AND version = ? ORDER BY alias", key
        ).fetchall()
        return version_of(name, version, source, tags, tuple(alias for (alias,) in aliases))


def version_of(
    name: str, version: int, source: str, tags: Mapping[str, Any], aliases: tuple[str, ...]
) -> RegisteredVersion:
    """Return the version that hone registered with these tags."""
    return RegisteredVersion(
        name=name,
        version=version,
        ref=ArtifactRef(stage="register", fingerprint=tags[FINGERPRINT]),
        content_digest=tags[CONTENT_DIGEST],
        source=source,
        verdict=tags[VERDICT],
        best_baseline=tags[BEST_BASELINE],
        served_variant=tags[SERVED_VARIANT],
        digests={k.removeprefix(DIGEST): tags[k] for k in sorted(tags) if k.startswith(DIGEST)},
        aliases=aliases,
        overrides=_overrides(tags),
    )


def history_of(written: str, now: int | None) -> tuple[int, ...]:
    """Return the versions that an alias was set to, the present one last.

    The alias is written before its history, so a caller killed in between leaves a history one entry short.
    """
    past = tuple(json.loads(written))
    return past if now is None or past[-1:] == (now,) else (*past, now)


def _overrides(tags: Mapping[str, str]) -> tuple[Override, ...]:
    numbers = sorted(int(key.removeprefix(OVERRIDE)) for key in tags if key.startswith(OVERRIDE))
    return tuple(Override(**json.loads(tags[f"{OVERRIDE}{number}"])) for number in numbers)


def missing_calls(run: LoggedRun | None, fingerprints: Sequence[tuple[str, str]]) -> list[str] | None:
    """Return the ids of the calls that the run does not show yet; None where it shows another artifact for a call."""
    if run is None:
        return [call_id for call_id, _ in fingerprints]
    if any(run.calls.get(call_id, fingerprint) != fingerprint for call_id, fingerprint in fingerprints):
        return None
    return [call_id for call_id, _ in fingerprints if call_id not in run.calls]
