"""Base models by name: embedded ones, folders, the Hub's, versions, and those that begin without weights."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pipeline.core.errors import ConfigError, ModelError
from pipeline.core.integrity import verify_once
from pipeline.core.registry import Registry
from pipeline.core.registry import resolve as version_at
from pipeline.core.workspace import Store
from pipeline.execute import load, load_held, load_version
from pipeline.resolve.sources import Sources, names_repository
from schemas.artifacts import Stored
from schemas.base import ArtifactRef, Reference
from schemas.base_model import BaseModelRef, ModelInit, TokenizerSpec
from schemas.register import RegisterArtifact
from schemas.run import BaseModelSpec
from schemas.train import TrainArtifact

_VERSION = re.compile(r"^[a-z0-9][a-z0-9._-]*@[a-z0-9]+$")


class Runs(Protocol):
    """Finished runs of this workspace by name or id."""

    def register_artifact(self, run: str) -> ArtifactRef:
        """Return the register artifact of the newest run called ``run``; raises ConfigError where there is none."""


@dataclass(frozen=True)
class Bases:
    """Resolves base models; see `pipeline.resolve.resolver.Resolver` for what it is given."""

    sources: Sources
    store: Store
    registry: Callable[[], Registry]
    runs: Runs
    embedded: Mapping[str, Path]

    def resolve(
        self, spec: BaseModelSpec, key: str = "base_model"
    ) -> tuple[BaseModelRef, Stored[RegisterArtifact] | None]:
        """Return the base, and the version record it comes from where it is one of hone's.

        ``key`` of the run description names it in errors.
        """
        if spec.init is not None:
            return BaseModelRef(name=spec.init.model_type, init=self._init(spec)), None
        assert spec.name is not None
        name = spec.name
        if name in self.embedded:
            return self._folder_base(name, self.embedded[name], spec, key), None
        if name.startswith("hone:"):
            raise ModelError(
                "no such embedded base", where=f"{key}: {name}", fix=f"known: {', '.join(sorted(self.embedded))}"
            )
        if name.startswith("run:"):
            return self._version_base(
                load(self.store, self.runs.register_artifact(name.removeprefix("run:"))), name, spec, key
            )
        path = self.sources.path(name)
        if _VERSION.match(name) and not path.exists():
            found = version_at(self.registry(), name)
            return self._version_base(load_version(self.store, found), str(found), spec, key)
        if path.is_dir():
            return self._folder_base(path.name, path, spec, key), None
        if names_repository(name):
            weights = self.sources.hub_model(name, spec.revision, key)
            return BaseModelRef(name=name, weights=weights, trust_remote_code=spec.trust_remote_code), None
        raise ModelError(
            "no such model folder, Hub id (org/name), run (run:NAME) or version (name@champion)",
            where=f"{key}: {name}",
            fix="check the name; the embedded base is hone:tiny",
        )

    def _init(self, spec: BaseModelSpec) -> ModelInit:
        init = spec.init
        assert init is not None
        common = {"model_type": init.model_type, "config": init.config, "chat_template": init.chat_template}
        if isinstance(init.tokenizer, TokenizerSpec):
            return ModelInit(**common, tokenizer=init.tokenizer)
        tokenizer, _ = self.resolve(BaseModelSpec(name=init.tokenizer, revision=spec.revision))
        return ModelInit(**common, tokenizer_from=tokenizer.weights)

    def _folder_base(self, name: str, path: Path, spec: BaseModelSpec, key: str) -> BaseModelRef:
        if not (path / "config.json").is_file():
            raise ModelError("the folder holds no config.json", where=f"{key}: {path}", fix="name a model's folder")
        if spec.revision is not None:
            raise ConfigError("a folder has no revisions", where=f"{key}.revision", fix="remove the key")
        weights = Reference(location=str(path.resolve()), digest=self.sources.digest(path))
        return BaseModelRef(name=name, weights=weights, trust_remote_code=spec.trust_remote_code)

    def _version_base(
        self, record: Stored[RegisterArtifact], name: str, spec: BaseModelSpec, key: str
    ) -> tuple[BaseModelRef, Stored[RegisterArtifact]]:
        lineage = record.artifact.lineage
        shipped = load_held(self.store, lineage, lineage.models[record.artifact.shipped])
        if isinstance(shipped.artifact, TrainArtifact) and shipped.artifact.kind == "full":
            source = shipped
        elif "merged" in lineage.variants:
            source = load_held(self.store, lineage, lineage.variants["merged"])
        else:
            raise ModelError(
                "this version is an adapter and has no merged variant to train on",
                where=f"{key}: {name}",
                fix="add `merged` to its variants and run it again",
            )
        if spec.revision is not None:
            raise ConfigError("a version has no revisions", where=f"{key}.revision", fix="remove the key")
        verify_once(self.store, source.ref)
        folder = source.path / source.artifact.model
        weights = Reference(location=str(folder), digest=self.sources.digest(folder))
        base = BaseModelRef(name=name, weights=weights, trust_remote_code=spec.trust_remote_code)
        return base, record


def check_answers(base: BaseModelRef, key: str = "base_model") -> None:
    """Refuse a base of this machine that has one output for a text, and no words.

    Raises:
        ModelError: it is one.
    """
    config = Path(base.weights.location) / "config.json" if base.weights is not None else None
    if config is None or not config.is_file():
        return
    try:
        names = json.loads(config.read_text(encoding="utf-8")).get("architectures") or ()
    except (ValueError, AttributeError):  # whoever loads it says what is wrong with it
        return
    if any("SequenceClassification" in str(name) for name in names):
        raise ModelError(
            "this model scores texts and writes none, so nothing learns to answer from it",
            where=f"{key}: {base.name}",
            fix="name the language model that it was made of; as a reward it goes into train.rewards",
        )
