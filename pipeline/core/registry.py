"""The registry helper: what a controller needs from the place that holds versions and shows runs.

Stages own nothing mutable: they leave immutable artifacts. The controller gives those a version number, moves
aliases by compare-and-set, and projects finished calls to a tracker; all of it can be repeated without effect.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, get_args

from pydantic import JsonValue

from pipeline.core.errors import RegistryError
from schemas.artifacts import Manifest
from schemas.base import ArtifactRef
from schemas.register import RegisterArtifact, Verdict

Alias = Literal["candidate", "champion"]
"""``candidate``: the newest version that passed its gate. ``champion``: the one that takes traffic."""

ALIASES: tuple[Alias, ...] = get_args(Alias)

RunStatus = Literal["running", "finished", "failed"]

LOSS_CURVE = "log.jsonl"
"""The file of a training artifact that a tracker draws: one JSON object per line, with ``step``."""


@dataclass(frozen=True)
class Override:
    """Somebody moved an alias to a version that its gate refused: why, and when (UTC, ISO 8601)."""

    reason: str
    time: str


@dataclass(frozen=True)
class RegisteredVersion:
    """A registered version: an immutable artifact with a number, and the aliases that point at it now.

    Attributes:
        ref: the register artifact. content_digest: that of its files.
        source: its folder relative to the workspace root.
        best_baseline: what the gate compared with. served_variant: what takes traffic.
        digests: further content digests by name (``data_source``, ``template``, ``spec``).
    """

    name: str
    version: int
    ref: ArtifactRef
    content_digest: str
    source: str
    verdict: Verdict
    best_baseline: str
    served_variant: str
    digests: Mapping[str, str]
    aliases: tuple[str, ...] = ()
    overrides: tuple[Override, ...] = ()

    def __str__(self) -> str:
        return f"{self.name}@{self.version}"


@dataclass(frozen=True)
class TrackedCall:
    """One finished stage call as a tracker shows it; ``curve`` is its `LOSS_CURVE`, if it has one."""

    call_id: str
    manifest: Manifest
    config: Mapping[str, JsonValue]
    curve: Path | None = None

    @classmethod
    def of(cls, call_id: str, manifest: Manifest, config: Mapping[str, JsonValue], directory: Path) -> TrackedCall:
        """Describe the call whose artifact lies in ``directory``."""
        has_curve = any(file.path == LOSS_CURVE for file in manifest.files)
        return cls(call_id, manifest, config, directory / LOSS_CURVE if has_curve else None)


class Registry(Protocol):
    """Versions, aliases and runs. Every method may be repeated; two processes may call at once."""

    def register_version(
        self, name: str, artifact: RegisterArtifact, ref: ArtifactRef, content_digest: str, source: str
    ) -> int:
        """Return the version number of an artifact, giving it the next one if it has none.

        An artifact that was made again with other content gets a number of its own: a version is never changed.

        Raises:
            RegistryError: ``source`` is not relative, or the artifact is registered under another name.
        """

    def get_version(self, name: str, version: int) -> RegisteredVersion:
        """Return a version. Raises RegistryError where there is none; the message lists what there is."""

    def find_version(self, ref: ArtifactRef, content_digest: str) -> RegisteredVersion | None:
        """Return the version that holds this register artifact with this content, or None."""

    def list_versions(self, name: str | None = None) -> tuple[RegisteredVersion, ...]:
        """Return the versions of one name, or all, sorted by name and number."""

    def alias(self, name: str, alias: Alias) -> int | None:
        """Return the number that an alias points at now, or None."""

    def set_alias(self, name: str, alias: Alias, version: int, expected: int | None) -> None:
        """Point ``alias`` at ``version`` if it points at ``expected`` now (None: at nothing), or there already.

        Raises:
            RegistryError: it points elsewhere, or the version does not exist.
        """

    def alias_history(self, name: str, alias: Alias) -> tuple[int, ...]:
        """Return every version that the alias was set to, oldest first; the last is the present one."""

    def record_override(self, name: str, version: int, reason: str) -> None:
        """Keep the reason for which a refused version was promoted; it stays on the version.

        Raises:
            RegistryError: no such version, or ``reason`` is empty.
        """

    def log_run(self, name: str, run_id: str, calls: Sequence[TrackedCall], status: RunStatus) -> None:
        """Show a run and its finished calls in the tracker; calls that it shows already are left alone."""


def resolve(registry: Registry, reference: str) -> RegisteredVersion:
    """Return the version that ``name@champion``, ``name@candidate``, ``name@3`` or ``name`` (the champion) names.

    Raises:
        RegistryError: there is no such version or alias.
    """
    name, _, selector = reference.partition("@")
    if selector.isdecimal():
        return registry.get_version(name, int(selector))
    wanted = selector or "champion"
    for alias in ALIASES:
        if wanted == alias:
            version = registry.alias(name, alias)
            if version is not None:
                return registry.get_version(name, version)
            break
    else:
        raise RegistryError(
            f"{selector!r} is neither a version number nor an alias",
            where=reference,
            fix=f"write {name}@<number>, {' or '.join(f'{name}@{alias}' for alias in ALIASES)}",
        )
    known = [str(version) for version in registry.list_versions(name)]
    raise RegistryError(
        f"{name} has no {wanted}" if known else f"no version of {name} is registered",
        where=reference,
        fix=f"name one of {', '.join(known)}, or promote one" if known else "finish a run of that name first",
    )
