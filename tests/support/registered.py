"""A registry with one version, which is the champion."""

from __future__ import annotations

from typing import Any

from pipeline.core.registry import Alias, RegisteredVersion
from schemas.artifacts import Stored
from schemas.register import RegisterArtifact


class OneVersion:
    """Answers what a resolver and whoever opens a version ask; nothing can be changed."""

    def __init__(self, record: Stored[RegisterArtifact]) -> None:
        self.version = RegisteredVersion(
            name=record.artifact.name,
            version=1,
            ref=record.ref,
            content_digest=record.content_digest,
            source="",
            verdict=record.artifact.decision.verdict,
            best_baseline=record.artifact.decision.best_baseline,
            served_variant=record.artifact.served_variant,
            digests={},
        )

    def alias(self, _name: str, _alias: Alias) -> int | None:
        """Return 1."""
        return 1

    def get_version(self, _name: str, _version: int) -> RegisteredVersion:
        """Return the version."""
        return self.version

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} is not asked for here")
