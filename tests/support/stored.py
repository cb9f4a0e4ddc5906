"""Finished artifacts for stage tests, made without the driver."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pipeline.core.workspace import Workspace, content_digest, list_files
from schemas.artifacts import Artifact, Stored
from schemas.base import ArtifactRef, StageName, canonical_digest

A = TypeVar("A", bound=Artifact)


def stored(stage: StageName, path: Path, artifact: A) -> Stored[A]:
    """Wrap what a stage's run left in ``path``."""
    digest = content_digest(list_files(path))
    ref = ArtifactRef(stage=stage, fingerprint=canonical_digest([stage, digest]))
    return Stored[type(artifact)](ref=ref, content_digest=digest, path=path, artifact=artifact)  # type: ignore[misc]


def workspace(directory: Path) -> Workspace:
    """Return a fresh work directory below ``directory``."""
    output, scratch = directory / "output", directory / "scratch"
    output.mkdir(parents=True)
    scratch.mkdir(parents=True)
    return Workspace(output=output, scratch=scratch)
