"""Which version the endpoint serves, and which adapters of other names are served beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.backends.settings_vllm import lora_rank
from pipeline.control.versions import VersionFiles, open_version
from pipeline.core.errors import ConfigError, HoneError, RegistryError
from pipeline.core.registry import RegisteredVersion, Registry, resolve
from schemas.train import TrainArtifact

SETTING = "HONE_MODAL_SERVE"


@dataclass(frozen=True)
class Beside:
    """Adapters of other names on the same base: their folders by name, their versions, and why others are left out."""

    adapters: Mapping[str, Path] = field(default_factory=dict)
    versions: Mapping[str, int] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)


def choose(registry: Registry, setting: str | None) -> RegisteredVersion:
    """Return the version to serve: the one that ``setting`` names, or the champion of the only name.

    Raises:
        ConfigError: nothing is named, and several names are registered.
        RegistryError: nothing is registered, or not what is named.
    """
    if setting is not None:
        return resolve(registry, setting)
    names = sorted({version.name for version in registry.list_versions()})
    if not names:
        raise RegistryError("nothing is registered yet, so nothing can be served", fix="finish a run on this app first")
    if len(names) > 1:
        listed = f"registered are {', '.join(names)}"
        fix = f"set it to one of them and deploy again: {SETTING}={names[0]}"
        raise ConfigError(f"several names could be served: {listed}", where=SETTING, fix=fix)
    return resolve(registry, f"{names[0]}@champion")


def is_pinned(setting: str | None) -> bool:
    """Tell whether a setting names a version by its number, so that no other one takes its place."""
    return setting is not None and setting.partition("@")[2].isdecimal()


def adapters_beside(root: Path, registry: Registry, served: VersionFiles) -> Beside:
    """Return the other names' champions that one engine can serve together with ``served``, which may be no adapter.

    They are adapters of the same base, with the same tokenizer and template: an engine has one of each.
    """
    own = served.model().artifact
    if not _is_adapter(own):
        return Beside()
    adapters: dict[str, Path] = {}
    versions: dict[str, int] = {}
    left_out: dict[str, str] = {}
    for version in registry.list_versions():
        if version.name == served.version.name or "champion" not in version.aliases:
            continue
        try:
            found = open_version(root, registry, str(version))
            problem = _differs(served, found)
            if problem is None:
                adapters[version.name] = _servable(found)
                versions[version.name] = version.version
        except HoneError as error:  # a damaged version of another name is no reason to serve nothing
            problem = str(error)
        if problem is not None:
            left_out[version.name] = problem
    return Beside(adapters, versions, left_out)


def _differs(served: VersionFiles, other: VersionFiles) -> str | None:
    """Return why two versions cannot share an engine; None where they can."""
    left, right = served.record.artifact.base.weights, other.record.artifact.base.weights
    if left is None or right is None or left.digest != right.digest:
        return "it has another base"
    own, found = served.model().artifact, other.model().artifact
    if not _is_adapter(found):
        return "it is served as a whole model"
    if (own.template_digest, own.tokenizer_digest) != (found.template_digest, found.tokenizer_digest):
        return "it has another tokenizer or chat template"
    return None


def _servable(version: VersionFiles) -> Path:
    """Return the adapter's folder. Raises EngineError where its rank is above what vLLM serves."""
    adapter = version.files().adapter
    assert adapter is not None
    lora_rank(adapter)
    return adapter


def _is_adapter(artifact: object) -> bool:
    return isinstance(artifact, TrainArtifact) and artifact.kind == "adapter"
