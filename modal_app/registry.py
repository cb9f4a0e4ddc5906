"""The registry: MLflow's SQLite file on the Volume, worked on as a container's own copy, or an MLflow server.

A database on a Volume would be open when the Volume is reloaded, and two containers would overwrite each other's. So it
is read from a copy; and written to a copy under a lease that every writer takes, which then replaces the file. Writers
take the same lease before they write to a server.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from modal_app.leases import DictLeases
from modal_app.settings import SETTINGS
from modal_app.volumes import ARTIFACTS, ROOT
from pipeline.backends.track_mlflow import MlflowRegistry
from pipeline.core.registry import Registry

DATABASE = "mlflow.db"
LEASE = "registry"


@contextmanager
def registry_to_read() -> Iterator[Registry]:
    """Yield the registry as it is now."""
    with tempfile.TemporaryDirectory(prefix="registry-") as folder:
        yield MlflowRegistry(_copy(Path(folder)), SETTINGS.tracking_uri)


@contextmanager
def registry_to_write(leases: DictLeases) -> Iterator[Registry]:
    """Yield the registry and put what was changed where it is kept; other writers wait."""
    with leases.named(LEASE), tempfile.TemporaryDirectory(prefix="registry-") as folder:
        path = _copy(Path(folder))
        yield MlflowRegistry(path, SETTINGS.tracking_uri)
        if SETTINGS.tracking_uri is None:
            _replace(path)
            ARTIFACTS.commit()


def _copy(folder: Path) -> Path:
    path = folder / DATABASE
    if SETTINGS.tracking_uri is None and (ROOT / DATABASE).exists():
        shutil.copyfile(ROOT / DATABASE, path)
    return path


def _replace(path: Path) -> None:
    """Put a whole copy in the file's place: SQLite's backup has what its log still holds."""
    whole = path.with_suffix(".whole")
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(whole)) as target:
        source.backup(target)
    new = ROOT / f".{DATABASE}.new"
    shutil.copyfile(whole, new)
    new.replace(ROOT / DATABASE)
