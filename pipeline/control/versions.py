"""From a version's name to the files that serve it, and the verbs that move aliases."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.core.errors import ConfigError, GateRefused, RegistryError
from pipeline.core.integrity import verify_once
from pipeline.core.models import ModelFiles, model_files
from pipeline.core.registry import RegisteredVersion, Registry, resolve
from pipeline.core.versions import pick_variant, variant_refs
from pipeline.core.workspace import Store
from pipeline.execute import load_held, load_version
from schemas.artifacts import Stored
from schemas.data import DataArtifact
from schemas.register import RegisterArtifact
from schemas.serve import LaunchDescription, ServeArtifact


@dataclass(frozen=True)
class VersionFiles:
    """A registered version and everything that was made for it."""

    version: RegisteredVersion
    record: Stored[RegisterArtifact]
    data: Stored[DataArtifact]
    serve: Stored[ServeArtifact] | None
    store: Store

    def model(self, variant: str | None = None) -> Stored[Any]:
        """Return the artifact of one variant: ``adapter`` or ``model`` is what training left; None what is served.

        Its files are hashed, once in a process.

        Raises:
            ConfigError: the version has no such variant.
            IntegrityError: its files are not those of its manifest, or it was made again since the version was
                registered and has other content.
        """
        record = self.record.artifact
        trained = load_held(self.store, record.lineage, record.lineage.models[record.shipped])
        name = variant or record.served_variant
        found = load_held(self.store, record.lineage, pick_variant(variant_refs(record, trained.artifact), name))
        verify_once(self.store, found.ref)
        return found

    def files(self, variant: str | None = None) -> ModelFiles:
        """Return what a loader needs for one variant."""
        return model_files(self.record.artifact.base, self.model(variant))

    def launch(self) -> LaunchDescription:
        """Return the tried launch description.

        Raises:
            ConfigError: the run had ``serve: false``.
        """
        if self.serve is None:
            raise ConfigError(
                f"{self.version} was never served",
                where="serve",
                fix="remove `serve: false` and run the description again",
            )
        path = self.serve.file(self.serve.artifact.launch)
        return LaunchDescription.model_validate_json(path.read_text(encoding="utf-8"))


def open_version(root: Path, registry: Registry, reference: str) -> VersionFiles:
    """Return the version that ``name@champion``, ``name@3`` or ``name`` names.

    Raises:
        RegistryError: there is none.
        IntegrityError: its artifacts are not here, or have other content than when it was registered.
    """
    store = Store(root)
    version = resolve(registry, reference)
    record = load_version(store, version)
    lineage = record.artifact.lineage
    serve = load_held(store, lineage, lineage.serve) if lineage.serve is not None else None
    return VersionFiles(version, record, load_held(store, lineage, lineage.data), serve, store)


@dataclass(frozen=True)
class Move:
    """An alias moved: from which version to which, and the reason where the gate had refused."""

    name: str
    before: int | None
    after: int
    reason: str | None


def promote(root: Path, registry: Registry, reference: str, reason: str | None) -> Move:
    """Make a version champion; one that its gate refused needs a reason, which stays on it.

    The verdict is that of the record in the store below ``root``, and what would be served is hashed: a champion takes
    traffic, so nothing becomes one whose evidence or model is gone or was changed.

    Raises:
        RegistryError: there is no such version.
        IntegrityError: its record, or the model that it serves, is not here or is not what was registered.
        GateRefused: the gate refused it and no reason is given.
    """
    files = open_version(root, registry, reference)
    version = files.version
    files.model()
    refused = files.record.artifact.decision.verdict == "refused"
    if refused and not (reason and any(character.isalnum() for character in reason)):
        raise GateRefused(
            f"the gate refused {version}",
            where=reference,
            fix="see hone show version; to promote it all the same, give --reason, which stays on its card",
        )
    before = registry.alias(version.name, "champion")
    if refused and reason:
        registry.record_override(version.name, version.version, reason)
    registry.set_alias(version.name, "champion", version.version, before)
    return Move(version.name, before, version.version, reason if refused else None)


def roll_back(root: Path, registry: Registry, name: str, to: int | None, reason: str | None) -> Move:
    """Make the champion before the present one (or version ``to``) champion again.

    Raises:
        RegistryError: nothing of this name is registered, or there is no earlier champion.
        IntegrityError: see `promote`.
        GateRefused: the gate refused version ``to`` and no reason is given.
    """
    versions = registry.list_versions(name)
    if not versions:
        raise _unknown_name(registry, name)
    history = registry.alias_history(name, "champion")
    earlier = [version for version in history if not history or version != history[-1]]
    target = to if to is not None else (earlier[-1] if earlier else None)
    if target is None:
        known = ", ".join(str(found.version) for found in versions)
        raise RegistryError(
            f"{name} had no other champion", where=name, fix=f"name a version with --to (registered: {known})"
        )
    return promote(root, registry, f"{name}@{target}", reason)


def _unknown_name(registry: Registry, name: str) -> RegistryError:
    known = sorted({version.name for version in registry.list_versions()})
    near = difflib.get_close_matches(name, known, n=1)
    listed = f"registered are {', '.join(known)}" if known else "finish a run of that name first"
    return RegistryError(
        f"no version of {name} is registered", where=name, fix=f"did you mean {near[0]}?" if near else listed
    )
