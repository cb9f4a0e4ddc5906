"""Asking a registered version: its model, and everything else that decides what its answers are."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.control.versions import VersionFiles
from pipeline.core.errors import ConfigError, IntegrityError
from pipeline.core.models import ModelFiles
from pipeline.data.columns import KnownFormat
from pipeline.data.prompts import trained_format
from schemas.artifacts import Stored
from schemas.base import ArtifactRef
from schemas.data import DataOptions
from schemas.evaluate import GenerationConfig
from schemas.optimize import only_vllm


@dataclass(frozen=True)
class Asked:
    """One variant of a version, ready to be asked as its evaluation asked it.

    ``data`` says how rows became conversations, ``row_format`` what they were read as. ``generation`` is greedy and by
    transformers; ``evaluated_by`` names the backend that the evaluation used.
    """

    version: str
    variant: str
    files: ModelFiles
    data: DataOptions
    row_format: KnownFormat | None
    generation: GenerationConfig
    evaluated_by: str


def open_asked(version: VersionFiles, variant: str | None, batch_size: int | None = None) -> Asked:
    """Return how to ask one variant of a version; None takes the one that is served.

    Raises:
        ConfigError: the version has no such variant, or transformers does not load it.
        IntegrityError: a record of its run is missing or damaged.
    """
    record = version.record.artifact
    name = variant or record.served_variant
    files = version.files(variant)
    options = DataOptions.model_validate(_config(version.data)["options"])
    evaluation = _evaluation(version, name)
    if only_vllm(version.model(variant).artifact):
        raise ConfigError(
            f"{name} is asked by vLLM alone; this command asks with transformers",
            where="--variant",
            fix=f"hone serve {version.version} --variant {name}, and ask its endpoint, or ask another variant",
        )
    generation = GenerationConfig.model_validate(evaluation["generation"])
    changed: dict[str, Any] = {"backend": "transformers", "temperature": 0.0, "top_p": 1.0}
    if batch_size is not None:
        changed["batch_size"] = batch_size
    return Asked(
        version=str(version.version),
        variant=name,
        files=files,
        data=options,
        row_format=trained_format(version.data.artifact, options),
        generation=generation.model_copy(update=changed),
        evaluated_by=generation.backend,
    )


def _evaluation(version: VersionFiles, variant: str) -> dict[str, Any]:
    """Return the config of the variant's evaluation; that of the trained model where it has none of its own."""
    lineage = version.record.artifact.lineage
    ref = (
        lineage.evaluations.get(f"variant.{variant}") or lineage.evaluations[f"model.{version.record.artifact.shipped}"]
    )
    return _config_of(version.store.directory(ref), ref)


def _config(stored: Stored[Any]) -> dict[str, Any]:
    return _config_of(stored.path, stored.ref)


def _config_of(folder: Path, ref: ArtifactRef) -> dict[str, Any]:
    path = folder / "config.json"
    try:
        config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise IntegrityError(
            f"the record of {ref} is missing or damaged",
            where=str(path),
            fix="remove this folder and run its run again",
        ) from error
    return config
