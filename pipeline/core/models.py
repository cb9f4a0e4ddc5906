"""Where a model's files are: a base alone, a base with an adapter, or a whole model from an artifact."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipeline.core.errors import ModelError
from pipeline.core.references import open_reference
from schemas.artifacts import Stored
from schemas.base_model import BaseModelRef
from schemas.optimize import OptimizeArtifact
from schemas.train import TrainArtifact

_COMMIT_LENGTH = 40


@dataclass(frozen=True)
class ModelFiles:
    """What a loader needs.

    ``weights`` is a folder or a Hub id (then ``revision`` is the resolved commit); ``adapter`` a PEFT folder on top
    of it; ``tokenizer`` the folder or Hub id that holds tokenizer and chat template.
    """

    weights: str
    revision: str | None
    adapter: Path | None
    tokenizer: str
    trust_remote_code: bool


def model_files(
    base: BaseModelRef | None, model: Stored[TrainArtifact] | Stored[OptimizeArtifact] | None = None
) -> ModelFiles:
    """Return the files of ``model``, or of the base alone.

    Raises:
        ModelError: the base is needed and has no weights.
        IntegrityError: the base's folder changed since the run began.
    """
    if model is not None:
        folder = model.path / model.artifact.model
        if not (isinstance(model.artifact, TrainArtifact) and model.artifact.kind == "adapter"):
            trusted = base is not None and base.trust_remote_code
            return ModelFiles(str(folder), None, None, str(folder), trusted)
    if base is None or base.weights is None:
        raise ModelError(
            "a base model with weights is needed here", where="base_model", fix="name a folder, Hub id or version"
        )
    digest = base.weights.digest
    revision = digest if digest is not None and len(digest) == _COMMIT_LENGTH else None
    location = str(open_reference(base.weights))
    if model is None:
        return ModelFiles(location, revision, None, location, base.trust_remote_code)
    folder = model.path / model.artifact.model
    return ModelFiles(location, revision, folder, str(folder), base.trust_remote_code)
