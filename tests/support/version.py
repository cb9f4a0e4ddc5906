"""A registered version over real (tiny) artifacts, for tests of what is done with versions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pipeline.control.versions import VersionFiles
from pipeline.core.registry import RegisteredVersion
from pipeline.core.workspace import Store, write_record
from pipeline.execute import load
from schemas.artifacts import Stored
from schemas.base import ArtifactRef, canonical
from schemas.evaluate import MetricSpec
from schemas.register import Decision, Lineage, RegisterArtifact, SeedSpread
from schemas.serve import EngineOptions, LaunchDescription, ServeArtifact, ServeConfig
from tests.support.committed import commit
from tests.support.stored import stored
from tests.support.variants import base_ref


def version_files(
    root: Path,
    base: Path,
    *,
    trained: Stored[Any],
    variants: dict[str, Stored[Any]],
    data: Stored[Any],
    served: str,
    launch: LaunchDescription | None,
    options: EngineOptions | None = None,
    name: str = "triage",
) -> VersionFiles:
    """Commit the artifacts below ``root`` and return version 1 of ``name``; ``launch`` None was never served."""
    store = Store(root)
    commit(root, trained)
    commit(root, data)
    serve = _serve(root, base, launch, options or EngineOptions(), name) if launch is not None else None
    lineage = Lineage(
        data=data.ref,
        data_source_digest="0" * 64,
        template_digest="0" * 64,
        models={"seed.0": trained.ref},
        variants={name: commit(root, variant) for name, variant in variants.items()},
        evaluations={},
        serve=serve,
        contents={ref.fingerprint: load(store, ref).content_digest for ref in store.list()},
        spec_digest="0" * 64,
    )
    artifact = RegisterArtifact(
        name=name,
        base=base_ref(base),
        metric=MetricSpec(name="exact_match"),
        target={},
        shipped="seed.0",
        served_variant=served,
        decision=Decision(
            verdict="promoted", better_than_baseline=True, target_reached=None, best_baseline="base", conditions=()
        ),
        baseline_comparisons=(),
        variant_comparisons=(),
        retention_comparisons=(),
        protected_comparisons=(),
        seeds=SeedSpread(values={"0": 1.0}, mean=1.0, standard_deviation=None, low=None, high=None),
        lineage=lineage,
    )
    folder = root / f"register-{name}-{trained.ref.fingerprint[:8]}"
    folder.mkdir()
    (folder / "decision.json").write_text(json.dumps([name, trained.ref.fingerprint]), encoding="utf-8")
    ref = commit(root, stored("register", folder, artifact))
    version = RegisteredVersion(
        name=name,
        version=1,
        ref=ref,
        content_digest="0" * 64,
        source=str(store.directory(ref).relative_to(root)),
        verdict="promoted",
        best_baseline="base",
        served_variant=served,
        digests={},
    )
    return VersionFiles(
        version, load(store, ref), load(store, data.ref), load(store, serve) if serve is not None else None, store
    )


def _serve(root: Path, base: Path, launch: LaunchDescription, options: EngineOptions, name: str) -> ArtifactRef:
    config = ServeConfig(engine=launch.engine, options=options, base=base_ref(base), served_model_name=name)
    artifact = ServeArtifact(
        engine=launch.engine,
        engine_version=launch.engine_version,
        prompts=1,
        prompt_mismatches=0,
        answer_mismatches=0,
        smoke_prompt="",
        smoke_answer="",
        ready_seconds=0.0,
    )
    folder = root / "serve"
    folder.mkdir()
    write_record(folder / "launch.json", launch.model_dump(mode="json"))
    write_record(folder / "config.json", canonical(config))
    return commit(root, stored("serve", folder, artifact))
