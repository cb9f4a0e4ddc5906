"""Where what HELM measured lies in a workspace, and what HELM calls a version."""

from __future__ import annotations

from pathlib import Path

from schemas.base import ArtifactRef

HELM = "helm"
ORGANIZATION = "hone"
"""Of the model and its deployment in HELM, and so of the key ``<organization>ApiKey`` among its credentials."""


def helm_results_file(root: Path, record: ArtifactRef) -> Path:
    """Return the file of all imported runs of the version whose register artifact is ``record``."""
    return root / HELM / f"{record.fingerprint}.json"


def helm_model(name: str, number: int) -> str:
    """Return HELM's name, ``organization/engine``, of version ``number`` of ``name``."""
    return f"{ORGANIZATION}/{name}-v{number}"
