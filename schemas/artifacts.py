"""What a finished stage leaves: the artifact base, the manifest, and a stored artifact as a stage receives it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import Field, JsonValue

from schemas.base import ArtifactRef, Digest, NotFingerprinted, RelativePath, Schema, StageName
from schemas.errors import ErrorRecord


class Artifact(Schema):
    """The typed description of what a stage made; its files lie beside the manifest that holds it.

    A field that another attempt at the same work may measure otherwise (a duration) is marked `NotFingerprinted`.
    """


class StoredFile(Schema):
    """One file of an artifact: path inside it, sha256 of its bytes, size in bytes."""

    path: RelativePath
    sha256: Digest
    size: Annotated[int, Field(ge=0)]


class Cost(Schema):
    """What one stage call took, over all its attempts, killed ones included."""

    cpu_seconds: float
    wall_seconds: float
    peak_memory_bytes: int


class Manifest(Schema):
    """The last file written into an artifact: a directory without one does not exist.

    ``content_digest`` covers the files and ``artifact`` without its fields marked `NotFingerprinted`: all that a later
    stage can read. No clock is in it, so that equal work has equal digests.
    """

    stage: StageName
    fingerprint: Digest
    content_digest: Digest
    stage_version: str
    code_version: str
    environment: str
    environment_digest: Digest
    created_at: str
    files: tuple[StoredFile, ...]
    artifact: dict[str, JsonValue]
    cost: Cost


A = TypeVar("A", bound=Artifact)


class Stored(Schema, Generic[A]):
    """A finished artifact handed to a stage: its identity, its place here, and its typed description."""

    ref: ArtifactRef
    content_digest: Digest
    path: Annotated[Path, NotFingerprinted()]
    artifact: A

    def file(self, relative: str) -> Path:
        """Return the path of a file of this artifact."""
        return self.path / relative


class Inputs(Schema):
    """The input artifacts of a stage: one field per name, a `Stored` or a mapping of names to `Stored`."""


InputRefs = dict[str, ArtifactRef | dict[str, ArtifactRef]]


class StageCall(Schema):
    """One call of one stage: everything `execute` needs, as JSON.

    ``id`` is unique in a run and says what the call is for (``evaluate.merged``); it is not part of the fingerprint.
    """

    id: Annotated[str, Field(pattern=r"^[a-z0-9_]+([.][A-Za-z0-9_-]+)*$")]
    stage: StageName
    config: dict[str, Any]
    inputs: InputRefs = {}


class CallResult(Schema):
    """How one stage call ended."""

    call_id: str
    status: Literal["done", "cached", "failed"]
    ref: ArtifactRef | None = None
    cost: Cost | None = None
    error: ErrorRecord | None = None
