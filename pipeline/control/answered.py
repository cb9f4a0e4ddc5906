"""The answers of a version or a run to the items of its test split, for whoever compares them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.control.runs import RunList
from pipeline.core.errors import ConfigError
from pipeline.core.integrity import verify_once
from pipeline.core.registry import Registry, resolve
from pipeline.core.workspace import Store
from pipeline.execute import load, load_held, load_version
from schemas.artifacts import Stored
from schemas.evaluate import EvaluateArtifact
from schemas.register import GateOptions, RegisterArtifact

_TRAINED = ("adapter", "model")


@dataclass(frozen=True)
class Answered:
    """A decided run: its record, and the evaluations that it was decided on. ``name`` is how it was asked for."""

    name: str
    record: Stored[RegisterArtifact]
    store: Store

    @property
    def served(self) -> Stored[EvaluateArtifact]:
        """The evaluation of the form that is served.

        Raises:
            ConfigError: it was not evaluated.
        """
        decided = self.record.artifact
        own = decided.served_variant in _TRAINED
        return self._evaluation(f"model.{decided.shipped}" if own else f"variant.{decided.served_variant}")

    def baseline(self, name: str | None = None) -> Stored[EvaluateArtifact]:
        """Return the evaluation of a baseline, of the best one without a name.

        Raises:
            ConfigError: there is none of this name; the message lists what there is.
        """
        return self._evaluation(f"baseline.{name or self.record.artifact.decision.best_baseline}")

    @property
    def alpha(self) -> float:
        """The level of its intervals, as its gate was told."""
        path = self.record.path / "config.json"
        config = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        return GateOptions.model_validate(config.get("gate", {})).alpha

    def _evaluation(self, key: str) -> Stored[EvaluateArtifact]:
        lineage = self.record.artifact.lineage
        ref = lineage.evaluations.get(key)
        if ref is None:
            group = key.partition(".")[0]
            known = [name.partition(".")[2] for name in lineage.evaluations if name.startswith(f"{group}.")]
            raise ConfigError(
                f"{self.name} has no evaluation {key}", where=self.name, fix=f"there is {', '.join(known) or 'none'}"
            )
        found: Stored[Any] = load_held(self.store, lineage, ref)
        verify_once(self.store, found.ref)
        return found


def open_answered(root: Path, registry: Registry, name: str) -> Answered:
    """Return the version ``name@3``, ``name@champion``, or the newest decided run called ``name``.

    Raises:
        ConfigError, RegistryError: there is none.
        IntegrityError: what it was decided on is not here, or has other content.
    """
    store = Store(root)
    if "@" in name:
        version = resolve(registry, name)
        return Answered(str(version), load_version(store, version), store)
    return Answered(name, load(store, RunList(root).register_artifact(name)), store)
