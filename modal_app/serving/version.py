"""What a container of the endpoint brings up: a registered version, described for this container's engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from modal_app.images import environment
from modal_app.serving.choice import Beside, adapters_beside, choose
from pipeline.catalog import SERVE_VLLM
from pipeline.control.launching import describe_version
from pipeline.control.versions import VersionFiles, open_version
from pipeline.core.models import ModelFiles
from pipeline.core.registry import Registry
from pipeline.environments import environment_digest, requirements
from pipeline.serve import backends
from schemas.serve import LaunchDescription


@dataclass(frozen=True)
class Served:
    """A version and how it is served; ``tried`` tells whether its run brought up this very description.

    ``folder`` is that of the description; ``beside`` what else is served.
    """

    version: VersionFiles
    launch: LaunchDescription
    folder: Path
    files: ModelFiles
    tried: bool
    beside: Beside

    @property
    def versions(self) -> Mapping[str, int]:
        """The versions that clients can ask for, by name; first the one that was chosen."""
        chosen = self.version.version
        return {chosen.name: chosen.version, **self.beside.versions}


def find_version(root: Path, registry: Registry, setting: str | None) -> VersionFiles:
    """Return the version that is to be served.

    Raises:
        ConfigError: nothing is named, and several names are registered.
        RegistryError: nothing is registered, or not what is named.
        IntegrityError: its artifacts are not here, or have other content than when it was registered.
    """
    return open_version(root, registry, str(choose(registry, setting)))


def describe_served(root: Path, registry: Registry, version: VersionFiles, folder: Path) -> Served:
    """Return how a version is served here: as its run tried it, where that was in this environment.

    Args:
        root: the workspace.
        registry: says which adapters of other names are served beside it.
        version: the version; its files are hashed.
        folder: an empty folder that outlives the engine.

    Raises:
        ConfigError: no dtype is known in which it can be served on a CPU.
        IntegrityError: its files are not those of its manifest.
    """
    version.model()
    tried = _was_tried_here(version)
    if tried and version.serve is not None:
        launch, folder = version.launch(), version.serve.path
    else:
        launch = describe_version(version, folder, "vllm", requirements(*environment(SERVE_VLLM)))
    beside = adapters_beside(root, registry, version)
    launch = backends.with_adapters(launch, beside.adapters)
    return Served(version, launch, folder, version.files(), tried, beside)


def _was_tried_here(version: VersionFiles) -> bool:
    if version.serve is None or version.serve.artifact.engine != "vllm":
        return False
    manifest = version.store.manifest(version.serve.ref)
    return manifest is not None and manifest.environment_digest == environment_digest(*environment(SERVE_VLLM))
