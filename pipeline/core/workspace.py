"""The workspace: where artifacts live, and the directory in which one stage call works.

``<root>/artifacts/<stage>/<fingerprint>/`` holds finished artifacts (manifest last);
``<root>/work/<stage>/<fingerprint>/`` holds one call in progress: ``output/`` becomes the artifact, ``scratch/``
(checkpoints) and ``spent.json`` survive a killed attempt and are removed when the call is done or begins anew.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue, ValidationError

from pipeline.core.errors import IntegrityError, StorageError
from pipeline.core.leases import FileLeases, Leases
from schemas.artifacts import Artifact, Manifest, StoredFile
from schemas.base import ArtifactRef, StageName, canonical_as_stored, canonical_digest

MANIFEST = "manifest.json"
RECORDS = ("config.json", "inputs.json", MANIFEST)
"""Files that describe the artifact; they are not part of its content digest."""

_CHUNK = 1 << 20


def hash_file(path: Path) -> str:
    """Return the sha256 (hexadecimal) of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def list_files(directory: Path) -> tuple[StoredFile, ...]:
    """Return every file below ``directory`` (records excluded), sorted by path.

    Raises:
        StorageError: something below it is neither a file nor a directory.
    """
    found = []
    for path in sorted(directory.rglob("*")):
        relative = path.relative_to(directory).as_posix()
        if path.is_symlink():
            raise StorageError("an artifact may hold no links", where=str(path), fix="copy the file instead")
        if path.is_file() and relative not in RECORDS:
            found.append(StoredFile(path=relative, sha256=hash_file(path), size=path.stat().st_size))
    return tuple(found)


def content_digest(files: tuple[StoredFile, ...]) -> str:
    """Return the sha256 over the sorted ``path sha256`` lines: no clock, no config, just the bytes."""
    lines = "".join(f"{file.path} {file.sha256}\n" for file in sorted(files, key=lambda file: file.path))
    return hashlib.sha256(lines.encode()).hexdigest()


def artifact_digest(files: tuple[StoredFile, ...], artifact: Artifact) -> str:
    """Return the digest of all that a later stage can read of an artifact: its files and its typed description.

    Raises:
        ValueError: the description holds a number that is not finite.
    """
    stored = artifact.model_dump(mode="json")
    # As it will be read: a field may hold an object of a narrower class than the one that is declared.
    return _described_digest(files, type(artifact).model_validate(stored), stored)


def _described_digest(files: tuple[StoredFile, ...], artifact: Artifact, stored: dict[str, JsonValue]) -> str:
    return canonical_digest({"files": content_digest(files), "artifact": canonical_as_stored(artifact, stored)})


def check_description(manifest: Manifest, artifact: Artifact, path: Path) -> None:
    """Refuse a manifest, of the folder ``path``, that does not fit its digest; ``artifact`` is its description as read.

    Raises:
        IntegrityError: its list of files or its description was changed.
    """
    if _described_digest(manifest.files, artifact, manifest.artifact) != manifest.content_digest:
        raise IntegrityError(
            "the manifest was changed and does not fit its digest",
            where=str(path),
            fix="remove this folder; the run makes it again",
        )


def fsync_tree(directory: Path) -> None:
    """Force every file and directory below ``directory``, and itself, to disk."""
    for path in [*directory.rglob("*"), directory]:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_atomic(path: Path, text: str) -> None:
    """Write ``text`` so that ``path`` holds either the old content or all of the new."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@dataclass(frozen=True)
class Workspace:
    """What a stage may write: ``output`` becomes the artifact, ``scratch`` outlives a killed attempt."""

    output: Path
    scratch: Path

    def file(self, relative: str) -> Path:
        """Return a path inside ``output`` whose parent exists.

        Raises:
            StorageError: ``relative`` leads out of the output.
        """
        path = (self.output / relative).resolve()
        if not path.is_relative_to(self.output.resolve()):
            raise StorageError(f"{relative!r} leads out of the artifact", where=relative)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


@dataclass(frozen=True)
class Store:
    """All artifacts under one root. ``shared_leases`` None keeps leases in files below it."""

    root: Path
    shared_leases: Leases | None = None

    @property
    def leases(self) -> Leases:
        """Who may make which artifact."""
        return self.shared_leases or FileLeases(self.root)

    def directory(self, ref: ArtifactRef) -> Path:
        """Return where the artifact is, or would be."""
        return self.root / "artifacts" / ref.stage / ref.fingerprint

    def work_directory(self, ref: ArtifactRef) -> Path:
        """Return where the artifact is being made."""
        return self.root / "work" / ref.stage / ref.fingerprint

    def spent_file(self, ref: ArtifactRef) -> Path:
        """Return where `pipeline.core.spending` keeps what the attempts at an artifact have taken."""
        return self.work_directory(ref) / "spent.json"

    def manifest(self, ref: ArtifactRef) -> Manifest | None:
        """Return the manifest of a finished artifact; None where there is none.

        Raises:
            IntegrityError: the manifest cannot be read as one.
        """
        path = self.directory(ref) / MANIFEST
        try:
            return Manifest.model_validate_json(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (ValidationError, UnicodeDecodeError) as error:
            raise IntegrityError(
                "the manifest is damaged", where=str(path), fix="remove this folder; the run makes it again"
            ) from error

    def verify(self, ref: ArtifactRef) -> Manifest:
        """Check every file of an artifact against its manifest and return the manifest.

        Raises:
            IntegrityError: the artifact is not there, or a file is missing, added or changed.
        """
        manifest = self.manifest(ref)
        directory = self.directory(ref)
        if manifest is None:
            raise IntegrityError(f"artifact {ref} does not exist", where=str(directory), fix="run its run again")
        stated = {file.path: file.sha256 for file in manifest.files}
        found = {file.path: file.sha256 for file in list_files(directory)}
        for path in sorted(stated.keys() | found.keys()):
            if stated.get(path) != found.get(path):
                state = "missing" if path not in found else "not in the manifest" if path not in stated else "changed"
                raise IntegrityError(
                    f"file is {state}", where=str(directory / path), fix="remove this folder; the run makes it again"
                )
        return manifest

    def list(self, stage: StageName | None = None) -> Iterator[ArtifactRef]:
        """Yield every finished artifact, sorted by path; folders of other names are not hone's and are passed over."""
        for path in sorted((self.root / "artifacts").glob(f"{stage or '*'}/*/{MANIFEST}")):
            with suppress(ValidationError):
                yield ArtifactRef.model_validate({"stage": path.parent.parent.name, "fingerprint": path.parent.name})

    def open_work(self, ref: ArtifactRef) -> Workspace:
        """Return the work directory of a call: an empty ``output``, and ``scratch`` as an earlier attempt left it."""
        work = self.work_directory(ref)
        output, scratch = work / "output", work / "scratch"
        shutil.rmtree(output, ignore_errors=True)
        output.mkdir(parents=True)
        scratch.mkdir(exist_ok=True)
        return Workspace(output=output, scratch=scratch)

    def discard_work(self, ref: ArtifactRef) -> None:
        """Remove what earlier attempts at an artifact left: their work, and the note of what they took.

        Raises:
            OSError: it cannot be removed.
        """
        with suppress(FileNotFoundError):
            shutil.rmtree(self.work_directory(ref))

    def commit(self, ref: ArtifactRef, workspace: Workspace, manifest: Manifest) -> Path:
        """Turn a work directory into a finished artifact: manifest last, forced to disk, renamed.

        An artifact that is there already stays until this one is whole, then gives way to it.
        """
        write_atomic(workspace.output / MANIFEST, manifest.model_dump_json(indent=2) + "\n")
        fsync_tree(workspace.output)
        target = self.directory(ref)
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():
            replaced = self.work_directory(ref) / "replaced"
            shutil.rmtree(replaced, ignore_errors=True)
            target.rename(replaced)
        workspace.output.rename(target)
        fsync_directory(target.parent)
        shutil.rmtree(self.work_directory(ref), ignore_errors=True)
        return target

    def discard(self, ref: ArtifactRef) -> None:
        """Remove a finished artifact and any work on it. The manifest goes first, so half a removal is no artifact."""
        (self.directory(ref) / MANIFEST).unlink(missing_ok=True)
        shutil.rmtree(self.directory(ref), ignore_errors=True)
        shutil.rmtree(self.work_directory(ref), ignore_errors=True)


def fsync_directory(directory: Path) -> None:
    """Force a directory's entries to disk."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_record(path: Path, value: object) -> None:
    """Write a JSON record with sorted keys, atomically."""
    write_atomic(path, json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n")
