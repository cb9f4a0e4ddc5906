"""Versions, aliases and runs in MLflow: one SQLite database, or a server.

Writers hold a file lock, so that looking and writing is one step: an artifact never gets two versions, an alias moves
by compare-and-set. With a server that holds for the writers of one workspace; MLflow has no step that looks and writes,
so two workspaces that move the same alias in the same moment are not kept apart. MLflow holds no artifact of hone's: a
version's source is a folder of the workspace.
"""

from __future__ import annotations

import json
import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from pipeline.backends.read_mlflow import (
    BEST_BASELINE,
    CONTENT_DIGEST,
    DIGEST,
    FINGERPRINT,
    HISTORY,
    OVERRIDE,
    SERVED_VARIANT,
    VERDICT,
    MlflowReader,
    missing_calls,
)
from pipeline.backends.read_mlflow_server import SCHEME, MlflowServerReader, refused_credentials, unreachable
from pipeline.core.errors import RegistryError
from pipeline.core.registry import Alias, RegisteredVersion, RunStatus, TrackedCall
from schemas.base import ArtifactRef
from schemas.register import RegisterArtifact

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

_KEPT_HISTORY = 500
"""Moves of an alias that are remembered."""

_QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "GIT_PYTHON_REFRESH": "quiet",
}
"""Set before MLflow is imported: it reads them then."""


class MlflowRegistry:
    """`pipeline.core.registry.Registry` over MLflow, see there.

    Args:
        database: the SQLite file, which the first writer makes; its lock keeps writers apart.
        tracking_uri: the server that holds everything in the file's place.
    """

    def __init__(self, database: Path, tracking_uri: str | None = None) -> None:
        self._database = database
        self._tracking_uri = tracking_uri
        self._reader = MlflowReader(database) if tracking_uri is None else MlflowServerReader(tracking_uri)
        self._client: MlflowClient | None = None

    def register_version(
        self, name: str, artifact: RegisterArtifact, ref: ArtifactRef, content_digest: str, source: str
    ) -> int:
        """Register an artifact with its content once; the description is its decision in sentences."""
        if Path(source).is_absolute() or ".." in Path(source).parts:
            raise RegistryError(
                f"{source!r} is not a path inside the workspace", where=name, fix="give the path from its root"
            )
        known = self._find(name, ref, content_digest)
        if known is not None:
            return known.version
        with self._writing() as client:
            known = self._find(name, ref, content_digest)
            if known is not None:
                return known.version
            if not client.search_registered_models(f"name = '{name}'"):
                client.create_registered_model(name)
            created = client.create_model_version(
                name,
                source if self._tracking_uri is None else SCHEME + source,
                tags=_version_tags(artifact, ref, content_digest),
                description=_description(artifact),
                await_creation_for=0,
            )
            return int(created.version)

    def get_version(self, name: str, version: int) -> RegisteredVersion:
        """Return a version."""
        found = self._reader.versions(name)
        for candidate in found:
            if candidate.version == version:
                return candidate
        if found:
            fix = f"{name} has {', '.join(str(candidate.version) for candidate in found)}"
        else:
            names = sorted({candidate.name for candidate in self._reader.versions()})
            nearest = get_close_matches(name, names, n=1)
            fix = f"did you mean {nearest[0]}?" if nearest else f"registered: {', '.join(names) or 'nothing yet'}"
        raise RegistryError("there is no such version", where=f"{name}@{version}", fix=fix)

    def find_version(self, ref: ArtifactRef, content_digest: str) -> RegisteredVersion | None:
        """Return the version that holds this artifact with this content, or None."""
        return self._reader.find(ref.fingerprint, content_digest)

    def list_versions(self, name: str | None = None) -> tuple[RegisteredVersion, ...]:
        """Return versions, by name and number."""
        return self._reader.versions(name)

    def alias(self, name: str, alias: Alias) -> int | None:
        """Return what an alias points at, or None."""
        return self._reader.alias(name, alias)

    def set_alias(self, name: str, alias: Alias, version: int, expected: int | None) -> None:
        """Move an alias by compare-and-set, and remember the move."""
        self.get_version(name, version)
        if self._reader.alias(name, alias) == version:
            return
        with self._writing() as client:
            current = self._reader.alias(name, alias)
            if current == version:
                return
            if current != expected:
                held, wanted = ("nothing" if v is None else f"version {v}" for v in (current, expected))
                raise RegistryError(
                    f"{alias} points at {held}, not at {wanted} any more",
                    where=f"{name}@{alias}",
                    fix="look at what moved it, then try again",
                )
            past = self._reader.history(name, alias)
            client.set_registered_model_alias(name, alias, str(version))
            history = [*past, version][-_KEPT_HISTORY:]
            client.set_registered_model_tag(name, HISTORY + alias, json.dumps(history))

    def alias_history(self, name: str, alias: Alias) -> tuple[int, ...]:
        """Return the versions that an alias was set to, oldest first."""
        return self._reader.history(name, alias)

    def record_override(self, name: str, version: int, reason: str) -> None:
        """Keep the reason of an override; the same reason twice in a row is one override."""
        if not reason.strip():
            raise RegistryError("an override needs a reason", where=f"{name}@{version}", fix="say why in a sentence")
        with self._writing() as client:
            past = self.get_version(name, version).overrides
            if past and past[-1].reason == reason:
                return
            now = datetime.now(UTC).isoformat(timespec="seconds")
            value = json.dumps({"reason": reason, "time": now}, ensure_ascii=False)
            client.set_model_version_tag(name, str(version), f"{OVERRIDE}{len(past) + 1}", value)

    def log_run(self, name: str, run_id: str, calls: Sequence[TrackedCall], status: RunStatus) -> None:
        """Project a run; nothing is imported where MLflow shows it already."""
        from pipeline.backends.runs_mlflow import STATUS, log_calls

        wanted = [(call.call_id, call.manifest.fingerprint) for call in calls]
        logged = self._reader.logged_run(name, run_id)
        if logged is not None and missing_calls(logged, wanted) == [] and logged.status == STATUS[status]:
            return
        with self._writing() as client:
            log_calls(client, self._reader.logged_run(name, run_id), name, run_id, calls, status)

    def _find(self, name: str, ref: ArtifactRef, content_digest: str) -> RegisteredVersion | None:
        known = self._reader.find(ref.fingerprint, content_digest)
        if known is not None and known.name != name:
            raise RegistryError(
                f"{ref} is registered as {known}", where=name, fix=f"use {known}; a version is never changed"
            )
        return known

    @contextmanager
    def _writing(self) -> Iterator[MlflowClient]:
        """Hold the right to write, with a client of a database that is whole."""
        self._database.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{self._database}.lock"), warnings.catch_warnings():
            # MLflow 3.17 uses what SQLAlchemy 2.1 deprecates; its user can do nothing about that.
            warnings.simplefilter("ignore", DeprecationWarning)
            client_class = _import_client()
            if self._tracking_uri is not None:
                with _on_server(self._tracking_uri, client_class) as client:
                    yield client
                return
            if not self._database.exists():
                _create(self._database, client_class)
            if self._client is None:
                self._client = _open(self._database, client_class)
            yield self._client


def _import_client() -> type[MlflowClient]:
    """Import MLflow's client, without telemetry and without its chatter."""
    for key, value in _QUIET.items():
        os.environ.setdefault(key, value)
    from mlflow.tracking import MlflowClient

    logging.getLogger("mlflow").setLevel(logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    return MlflowClient


@contextmanager
def _on_server(uri: str, client_class: type[MlflowClient]) -> Iterator[MlflowClient]:
    """Yield the client of a server; what it refuses, or that it is gone, becomes an error of the registry."""
    from mlflow.exceptions import MlflowException, RestException

    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")  # its own 7 are minutes of silence
    try:
        yield client_class(tracking_uri=uri, registry_uri=uri)
    except MlflowException as error:
        status = error.get_http_status_code()
        if status in (401, 403):
            raise refused_credentials(uri, status) from error
        if not isinstance(error, RestException):
            raise unreachable(uri, error) from error
        raise RegistryError(
            f"the tracking server answers HTTP {status}: {error.message}", where=uri, fix="see the server's log"
        ) from error


def _open(database: Path, client_class: type[MlflowClient]) -> MlflowClient:
    uri = f"sqlite:///{database.resolve()}"
    return client_class(tracking_uri=uri, registry_uri=uri)


def _create(database: Path, client_class: type[MlflowClient]) -> None:
    """Make the tables beside, then rename: a caller killed during MLflow's migrations leaves no half a database."""
    temporary = database.with_name(f".{database.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)
    client = _open(temporary, client_class)
    client.search_experiments(max_results=1)
    client.search_registered_models(max_results=1)
    # A journal without its database would be rolled back into the new one.
    database.with_name(f"{database.name}-journal").unlink(missing_ok=True)
    temporary.replace(database)


def _version_tags(artifact: RegisterArtifact, ref: ArtifactRef, content_digest: str) -> dict[str, Any]:
    lineage = artifact.lineage
    return {
        FINGERPRINT: ref.fingerprint,
        CONTENT_DIGEST: content_digest,
        VERDICT: artifact.decision.verdict,
        BEST_BASELINE: artifact.decision.best_baseline,
        SERVED_VARIANT: artifact.served_variant,
        f"{DIGEST}data_source": lineage.data_source_digest,
        f"{DIGEST}template": lineage.template_digest,
        f"{DIGEST}spec": lineage.spec_digest,
    }


def _description(artifact: RegisterArtifact) -> str:
    """Return the decision in sentences, for whoever opens MLflow's pages."""
    return "\n".join([f"{artifact.decision.verdict}.", *(c.text for c in artifact.decision.all_conditions)])
