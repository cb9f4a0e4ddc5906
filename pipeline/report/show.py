"""What `hone show` says of a run, an artifact or a version, as values; whatever is shown as whole was hashed again."""

from __future__ import annotations

from pydantic import JsonValue

from pipeline.core.errors import ConfigError, IntegrityError
from pipeline.core.versions import check_content
from pipeline.core.workspace import Store
from pipeline.execute import load
from pipeline.report.findings import answer, reasons
from pipeline.report.helm import helm_runs
from pipeline.report.progress import call_rows
from pipeline.report.record import RunRecord, read_object
from pipeline.report.scores import gain, subjects
from pipeline.report.types import Answer, CallRow, Registration, SubjectScores
from pipeline.report.version import VersionRecord
from schemas.artifacts import Manifest
from schemas.base import ArtifactRef, Schema
from schemas.helm import HelmRun
from schemas.register import Comparison, Lineage, RegisterArtifact

_SHORTEST_PREFIX = 4


class Check(Schema):
    """One artifact hashed again: ``problem`` is null where every file is as its manifest states."""

    role: str
    ref: ArtifactRef
    content_digest: str | None
    files: int
    size_bytes: int
    problem: str | None


class RunView(Schema):
    """One run: its verdict, its calls, its scores."""

    run: str
    created_at: str
    spec_digest: str
    answer: Answer
    reasons: tuple[str, ...]
    gain: Comparison | None
    subjects: tuple[SubjectScores, ...]
    calls: tuple[CallRow, ...]


class ArtifactView(Schema):
    """One artifact: its manifest, the config that made it, and whether its files are whole."""

    check: Check
    manifest: Manifest
    config: dict[str, JsonValue]


class VersionView(Schema):
    """One version: its decision, what HELM measured, and every artifact of its lineage, hashed again."""

    version: RegisterArtifact
    registration: Registration
    variants: tuple[str, ...]
    helm: tuple[HelmRun, ...]
    checks: tuple[Check, ...]

    @property
    def whole(self) -> bool:
        """Whether every file of the lineage is as its manifest states."""
        return all(check.problem is None for check in self.checks)


def show_run(record: RunRecord, registration: Registration | None = None) -> RunView:
    """Return the view of a run, finished or not."""
    return RunView(
        run=record.run,
        created_at=record.file.created_at,
        spec_digest=record.file.spec_digest,
        answer=answer(record),
        reasons=reasons(record, registration or Registration()),
        gain=gain(record),
        subjects=subjects(record),
        calls=call_rows(record),
    )


def find_artifact(store: Store, text: str) -> ArtifactRef:
    """Return the artifact that ``[stage/]prefix`` names: the first digits of its fingerprint, at least four.

    Raises:
        ConfigError: none, or more than one, begins like this.
    """
    stage, _, prefix = text.rpartition("/")
    if len(prefix) < _SHORTEST_PREFIX:
        raise ConfigError(
            "too short for an artifact", where=text, fix=f"give at least {_SHORTEST_PREFIX} digits of its fingerprint"
        )
    found = [
        ref for ref in store.list() if ref.fingerprint.startswith(prefix.lower()) and (not stage or ref.stage == stage)
    ]
    if len(found) == 1:
        return found[0]
    if not found:
        raise ConfigError(
            "no artifact of this workspace begins like this", where=text, fix="hone show run NAME lists those of a run"
        )
    named = ", ".join(str(ref) for ref in found[:5])
    raise ConfigError(f"{len(found)} artifacts begin like this: {named}", where=text, fix="give more digits")


def show_artifact(store: Store, ref: ArtifactRef) -> ArtifactView:
    """Return the view of an artifact, its files hashed again.

    Raises:
        IntegrityError: there is no such artifact, or its manifest is damaged.
    """
    manifest = store.manifest(ref)
    if manifest is None:
        raise IntegrityError(f"artifact {ref} does not exist", where=str(store.directory(ref)), fix="run its run again")
    path = store.directory(ref) / "config.json"
    return ArtifactView(
        check=check_artifact(store, ref.stage, ref),
        manifest=manifest,
        config=read_object(path) if path.is_file() else {},
    )


def check_artifact(store: Store, role: str, ref: ArtifactRef, lineage: Lineage | None = None) -> Check:
    """Hash every file of an artifact again and compare with its manifest; what is wrong is said, not raised.

    Where ``lineage`` is given, its content must also be what the version was decided on.
    """
    try:
        manifest = store.verify(ref)
        load(store, ref)
        if lineage is not None:
            check_content(lineage, ref, manifest.content_digest)
    except IntegrityError as error:
        return Check(role=role, ref=ref, content_digest=None, files=0, size_bytes=0, problem=str(error))
    return Check(
        role=role,
        ref=ref,
        content_digest=manifest.content_digest,
        files=len(manifest.files),
        size_bytes=sum(file.size for file in manifest.files),
        problem=None,
    )


def show_version(store: Store, ref: ArtifactRef, registration: Registration | None = None) -> VersionView:
    """Return the view of a version, with every artifact of its lineage hashed again.

    Raises:
        IntegrityError: the register artifact or a manifest of its lineage is missing or damaged.
    """
    version = VersionRecord.load(store, ref)
    lineage = version.register.artifact.lineage
    parts: list[tuple[str, ArtifactRef]] = [("data", lineage.data)]
    parts += [(f"model {name}", item) for name, item in lineage.models.items()]
    parts += [(f"variant {name}", item) for name, item in lineage.variants.items()]
    parts += [(f"evaluation {name}", item) for name, item in lineage.evaluations.items()]
    parts += [(f"judgement {name}", item) for name, item in lineage.judgements.items()]
    parts += [(f"bias {name}", item) for name, item in lineage.bias.items()]
    if lineage.serve is not None:
        parts.append(("serve", lineage.serve))
    return VersionView(
        version=version.register.artifact,
        registration=registration or Registration(),
        variants=version.variant_names,
        helm=helm_runs(store.root, ref),
        checks=(
            check_artifact(store, "decision", ref),
            *(check_artifact(store, role, item, lineage) for role, item in parts),
        ),
    )
