"""A version as it lies in the workspace: the register artifact and, by its lineage, everything it came from."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from pipeline.core.errors import IntegrityError
from pipeline.core.versions import pick_variant, variant_refs
from pipeline.core.workspace import Store
from pipeline.report.record import Finished, load_finished
from pipeline.report.scores import best_comparison
from schemas.artifacts import Artifact
from schemas.base import ArtifactRef
from schemas.base_model import BaseModelRef
from schemas.data import DataArtifact
from schemas.evaluate import EvaluateArtifact
from schemas.optimize import OptimizeArtifact
from schemas.register import Comparison, RegisterArtifact
from schemas.resolved import RunFile
from schemas.serve import ServeArtifact
from schemas.train import TrainArtifact

A = TypeVar("A", bound=Artifact)

HUB_COMMIT_LENGTH = 40
"""A reference whose digest is a git commit (40 digits) is on the Hub; others are sha256 (64 digits)."""


@dataclass(frozen=True)
class VersionRecord:
    """One version. ``variants`` are its other forms; ``evaluations`` has keys as ``model.seed-0``."""

    store: Store
    register: Finished[RegisterArtifact]
    model: Finished[TrainArtifact]
    data: Finished[DataArtifact]
    variants: dict[str, Finished[OptimizeArtifact]]
    evaluations: dict[str, ArtifactRef]
    serve: Finished[ServeArtifact] | None

    @classmethod
    def load(cls, store: Store, ref: ArtifactRef) -> VersionRecord:
        """Read the version that ``ref``, a register artifact, describes.

        Raises:
            IntegrityError: it or something it came from is missing or damaged.
        """
        register = _needed(store, ref, RegisterArtifact)
        lineage = register.artifact.lineage
        return cls(
            store=store,
            register=register,
            model=_needed(store, lineage.models[register.artifact.shipped], TrainArtifact),
            data=_needed(store, lineage.data, DataArtifact),
            variants={name: _needed(store, item, OptimizeArtifact) for name, item in lineage.variants.items()},
            evaluations=lineage.evaluations,
            serve=_needed(store, lineage.serve, ServeArtifact) if lineage.serve is not None else None,
        )

    @property
    def base(self) -> BaseModelRef:
        """The base model."""
        return self.register.artifact.base

    @property
    def variant_names(self) -> tuple[str, ...]:
        """Every form of this version, first what training itself left."""
        return tuple(variant_refs(self.register.artifact, self.model.artifact))

    @property
    def own_variant(self) -> str:
        """What training itself left: ``adapter`` or, with all weights trained, ``model``."""
        return self.variant_names[0]

    @property
    def gain(self) -> Comparison | None:
        """The test that decided."""
        return best_comparison(self.register.artifact)

    def check_variant(self, variant: str) -> None:
        """Refuse a form that this version does not have.

        Raises:
            ConfigError: the message lists those it has.
        """
        pick_variant(variant_refs(self.register.artifact, self.model.artifact), variant)

    def form(self, variant: str) -> Finished[TrainArtifact] | Finished[OptimizeArtifact]:
        """Return the artifact that holds a form's files.

        Raises:
            ConfigError: there is no such form.
        """
        self.check_variant(variant)
        return self.model if variant == self.own_variant else self.variants[variant]

    def evaluation(self, variant: str) -> EvaluateArtifact | None:
        """Return the evaluation of a form, None where it was not evaluated."""
        own = variant == self.own_variant
        ref = self.evaluations.get(f"model.{self.register.artifact.shipped}" if own else f"variant.{variant}")
        return _needed(self.store, ref, EvaluateArtifact).artifact if ref is not None else None

    def hub_data_set(self) -> str | None:
        """Return the Hub id of the training data, None for files or where the run's record was removed."""
        for path in sorted((self.store.root / "runs").glob("*/run.json")):
            file = _run_file(path)
            if file is not None and file.spec_digest == self.register.artifact.lineage.spec_digest:
                train = file.data.train
                return train.location if train.digest is not None and len(train.digest) == HUB_COMMIT_LENGTH else None
        return None


def hub_base(base: BaseModelRef) -> tuple[str, str] | None:
    """Return the Hub id and commit of a base, None where its weights are in a folder or it has none."""
    weights = base.weights
    if weights is None or weights.digest is None or len(weights.digest) != HUB_COMMIT_LENGTH:
        return None
    return weights.location, weights.digest


def _needed(store: Store, ref: ArtifactRef, kind: type[A]) -> Finished[A]:
    found = load_finished(store, ref, kind)
    if found is None:
        raise IntegrityError(
            f"artifact {ref} of this version does not exist", where=str(store.directory(ref)), fix="run its run again"
        )
    return found


def _run_file(path: Path) -> RunFile | None:
    try:
        return RunFile.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except (ValidationError, ValueError):
        return None  # another run's damaged record says nothing about this version
