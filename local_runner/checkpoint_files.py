"""A checkpoint of a version's training, in the place of the version: the same base, tokenizer and options."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from pipeline.backends.checkpoint_peft import write_checkpoint_adapter
from pipeline.control.job_checkpoints import WEIGHTS
from pipeline.control.versions import VersionFiles
from pipeline.core.errors import ModelError
from pipeline.core.models import ModelFiles
from schemas.artifacts import Stored

ADAPTER = "adapter"


@dataclass(frozen=True)
class CheckpointFiles(VersionFiles):
    """A version whose adapter is that of ``adapter``; it was never served."""

    adapter: Path

    def model(self, variant: str | None = None) -> Stored[Any]:  # noqa: ARG002 - a checkpoint has no variants
        """Return what its training left in the end."""
        return super().model(ADAPTER)

    def files(self, variant: str | None = None) -> ModelFiles:  # noqa: ARG002
        """Return what a loader needs."""
        return replace(super().files(ADAPTER), adapter=self.adapter, tokenizer=str(self.adapter))


def with_checkpoint(version: VersionFiles, checkpoint: Path, folder: Path) -> CheckpointFiles:
    """Return a version as it was at a checkpoint, whose adapter is written into ``folder``.

    Raises:
        ModelError: the checkpoint is gone, or is none of the version's adapter.
    """
    weights = checkpoint / WEIGHTS
    if not weights.is_file():
        raise ModelError("the checkpoint is not kept any more", where=checkpoint.name, fix="ask the trained model")
    trained = version.model(ADAPTER)
    write_checkpoint_adapter(weights, trained.path / trained.artifact.model, folder)
    values = {field.name: getattr(version, field.name) for field in fields(VersionFiles)}
    return CheckpointFiles(**{**values, "serve": None}, adapter=folder)
