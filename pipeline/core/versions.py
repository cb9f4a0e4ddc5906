"""A version as it was decided on: its forms by name, and its artifacts with the content that they had then."""

from __future__ import annotations

import difflib
from collections.abc import Mapping

from pipeline.core.errors import ConfigError, IntegrityError
from schemas.base import ArtifactRef, Digest
from schemas.register import Lineage, RegisterArtifact
from schemas.train import TrainArtifact


def variant_refs(record: RegisterArtifact, trained: TrainArtifact) -> dict[str, ArtifactRef]:
    """Return every form of a version by name, first what training itself left: ``adapter``, or else ``model``."""
    own = "adapter" if trained.kind == "adapter" else "model"
    return {own: record.lineage.models[record.shipped], **record.lineage.variants}


def pick_variant(variants: Mapping[str, ArtifactRef], name: str) -> ArtifactRef:
    """Return the form called ``name``.

    Raises:
        ConfigError: the version has no such form; the message lists those it has.
    """
    if name not in variants:
        near = difflib.get_close_matches(name, variants, n=1)
        known = f"this version has {', '.join(variants)}"
        fix = f"did you mean {near[0]}? {known}" if near else known
        raise ConfigError(f"there is no variant {name!r}", where="--variant", fix=fix)
    return variants[name]


def check_content(lineage: Lineage, ref: ArtifactRef, content: Digest) -> None:
    """Refuse an artifact of a version that no longer has the content that was compared and decided on.

    Raises:
        IntegrityError: it was made again since, and came out differently.
    """
    if lineage.contents.get(ref.fingerprint) != content:
        raise IntegrityError(
            f"{ref} was made again since this version was registered, and has other content",
            where=f"artifacts/{ref.stage}/{ref.fingerprint}",
            fix="use a version that was registered since; running the description again registers one",
        )
