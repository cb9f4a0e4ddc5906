"""A version as it was decided on: its artifacts with the content that they had then."""

from __future__ import annotations

from pipeline.core.errors import IntegrityError
from schemas.base import ArtifactRef, Digest
from schemas.register import Lineage


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
