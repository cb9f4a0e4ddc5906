"""A registry that lives in memory: the protocol's rules without MLflow, which takes seconds to open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from pipeline.core.errors import RegistryError
from pipeline.core.registry import Alias, Override, RegisteredVersion, RunStatus, TrackedCall
from schemas.base import ArtifactRef
from schemas.register import RegisterArtifact


@dataclass
class MemoryRegistry:
    """`pipeline.core.registry.Registry`; ``logged`` holds what `log_run` was last told of each run."""

    held: list[RegisteredVersion] = field(default_factory=list)
    moves: dict[tuple[str, str], tuple[int, ...]] = field(default_factory=dict)
    logged: dict[str, tuple[str, tuple[str, ...]]] = field(default_factory=dict)

    def register_version(
        self, name: str, artifact: RegisterArtifact, ref: ArtifactRef, content_digest: str, source: str
    ) -> int:
        known = self.find_version(ref, content_digest)
        if known is not None:
            return known.version
        number = 1 + len([version for version in self.held if version.name == name])
        decision = artifact.decision
        self.held.append(
            RegisteredVersion(
                name,
                number,
                ref,
                content_digest,
                source,
                decision.verdict,
                decision.best_baseline,
                artifact.served_variant,
                {},
            )
        )
        return number

    def get_version(self, name: str, version: int) -> RegisteredVersion:
        for found in self.list_versions(name):
            if found.version == version:
                return found
        raise RegistryError("there is no such version", where=f"{name}@{version}")

    def find_version(self, ref: ArtifactRef, content_digest: str) -> RegisteredVersion | None:
        held = [version for version in self.list_versions() if version.ref == ref]
        return next((version for version in held if version.content_digest == content_digest), None)

    def list_versions(self, name: str | None = None) -> tuple[RegisteredVersion, ...]:
        return tuple(self._with_aliases(version) for version in self.held if name in (None, version.name))

    def _with_aliases(self, version: RegisteredVersion) -> RegisteredVersion:
        pointing = [
            alias for (name, alias), past in self.moves.items() if (name, past[-1]) == (version.name, version.version)
        ]
        return replace(version, aliases=tuple(sorted(pointing)))

    def alias(self, name: str, alias: Alias) -> int | None:
        past = self.alias_history(name, alias)
        return past[-1] if past else None

    def set_alias(self, name: str, alias: Alias, version: int, expected: int | None) -> None:
        current = self.alias(name, alias)
        if current == version:
            return
        if current != expected:
            raise RegistryError(f"{alias} points at {current}, not at {expected} any more", where=f"{name}@{alias}")
        self.moves[name, alias] = (*self.alias_history(name, alias), version)

    def alias_history(self, name: str, alias: Alias) -> tuple[int, ...]:
        return self.moves.get((name, alias), ())

    def record_override(self, name: str, version: int, reason: str) -> None:
        self.held = [
            replace(found, overrides=(*found.overrides, Override(reason, "2026-11-23T10:00:00+00:00")))
            if (found.name, found.version) == (name, version)
            else found
            for found in self.held
        ]

    def log_run(self, name: str, run_id: str, calls: Sequence[TrackedCall], status: RunStatus) -> None:
        self.logged[run_id] = (status, tuple(call.call_id for call in calls))
