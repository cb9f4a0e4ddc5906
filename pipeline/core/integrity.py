"""Whether a finished artifact still is what was committed: at first sight by sizes, for certain by hashes."""

from __future__ import annotations

from pathlib import Path

from pipeline.core.errors import IntegrityError
from pipeline.core.workspace import Store
from schemas.artifacts import Manifest
from schemas.base import ArtifactRef

State = list[tuple[str, int, int, int]]
"""Path, size, modification time and inode of every file that a manifest states."""

_verified: dict[Path, State] = {}
"""Artifacts whose files this process has hashed, as the file system described them then."""


def find_damage(store: Store, ref: ArtifactRef) -> str | None:
    """Return what is wrong at first sight: the manifest, or a file that is missing or of another size. No file is read.

    None where nothing is wrong, or where there is no such artifact.
    """
    try:
        manifest = store.manifest(ref)
    except IntegrityError as error:
        return error.message
    for file in manifest.files if manifest is not None else ():
        path = store.directory(ref) / file.path
        if not path.is_file():
            return f"{file.path} is missing"
        if path.stat().st_size != file.size:
            return f"{file.path} has {path.stat().st_size:,} bytes, not {file.size:,}"
    return None


def verify_once(store: Store, ref: ArtifactRef) -> None:
    """Hash every file of an artifact, unless this process did and none has been touched since.

    Raises:
        IntegrityError: the artifact is not there, or a file is missing, added or changed.
    """
    directory = store.directory(ref)
    manifest = store.manifest(ref)
    if manifest is None or find_damage(store, ref) is not None or _verified.get(directory) != _state(store, manifest):
        remember(store, ref, store.verify(ref))


def remember(store: Store, ref: ArtifactRef, manifest: Manifest) -> None:
    """Note that every file of an artifact was just hashed, and fits ``manifest``."""
    _verified[store.directory(ref)] = _state(store, manifest)


def _state(store: Store, manifest: Manifest) -> State:
    directory = store.root / "artifacts" / manifest.stage / manifest.fingerprint
    stats = [(file.path, (directory / file.path).stat()) for file in manifest.files]
    return [(path, stat.st_size, stat.st_mtime_ns, stat.st_ino) for path, stat in stats]
