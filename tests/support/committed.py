"""Finished artifacts in a store, as the driver leaves them: what a call in another process needs to find its inputs."""

from __future__ import annotations

import shutil
from pathlib import Path

from pipeline.core.workspace import Store, artifact_digest, list_files
from schemas.artifacts import Artifact, Cost, Manifest, Stored
from schemas.base import ArtifactRef


def commit(root: Path, found: Stored[Artifact]) -> ArtifactRef:
    """Copy what a stage's run left into the store below ``root``, with a manifest, unless it is there."""
    store = Store(root)
    if store.manifest(found.ref) is not None:
        return found.ref
    work = store.open_work(found.ref)
    shutil.copytree(found.path, work.output, dirs_exist_ok=True)
    files = list_files(work.output)
    manifest = Manifest(
        stage=found.ref.stage,
        fingerprint=found.ref.fingerprint,
        content_digest=artifact_digest(files, found.artifact),
        stage_version="1",
        code_version="test",
        environment="main",
        environment_digest="0" * 64,
        created_at="2000-01-01T00:00:00+00:00",
        files=files,
        artifact=found.artifact.model_dump(mode="json"),
        cost=Cost(cpu_seconds=0.0, wall_seconds=0.0, peak_memory_bytes=0),
    )
    store.commit(found.ref, work, manifest)
    return found.ref
