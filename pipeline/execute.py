"""The only driver of one stage: validate, resolve inputs, skip if done, run, write the manifest, report errors.

``python -m pipeline.execute`` does it for a request on standard input, in whatever environment its interpreter
belongs to: JSON lines with events, then one with the result, leave on standard output.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pipeline.catalog import CATALOG, StageEntry
from pipeline.core.context import CallContext
from pipeline.core.errors import (
    Cancelled,
    ConfigError,
    HoneError,
    IntegrityError,
    as_hone_error,
)
from pipeline.core.fingerprint import fingerprint
from pipeline.core.integrity import find_damage, remember, verify_once
from pipeline.core.leases import Leases
from pipeline.core.registry import RegisteredVersion
from pipeline.core.seeding import seed_everything
from pipeline.core.spending import Spending
from pipeline.core.version import CODE_VERSION
from pipeline.core.versions import check_content
from pipeline.core.workspace import Store, Workspace, artifact_digest, check_description, list_files, write_record
from pipeline.environments import environment_digest
from schemas.artifacts import Artifact, CallResult, Cost, Inputs, Manifest, StageCall, Stored
from schemas.base import ArtifactRef, Device, Schema, canonical
from schemas.events import Event
from schemas.register import Lineage, RegisterArtifact
from schemas.request import CallRequest


@dataclass(frozen=True)
class Prepared:
    """A validated call: its catalog entry, typed config and inputs, and the artifact that it makes."""

    call: StageCall
    entry: StageEntry
    config: Schema
    inputs: Inputs
    environment: str
    device: Device
    ref: ArtifactRef

    @property
    def environment_digest(self) -> str:
        """The digest of the environment's file."""
        return environment_digest(self.environment, self.device)


def load(store: Store, ref: ArtifactRef) -> Stored[Any]:
    """Return a finished artifact with its typed description.

    Raises:
        IntegrityError: the artifact does not exist, or its manifest does not fit its stage or its digest.
    """
    manifest = store.manifest(ref)
    directory = store.directory(ref)
    if manifest is None:
        raise IntegrityError(f"artifact {ref} does not exist", where=str(directory), fix="run its run again")
    kind = CATALOG[ref.stage].artifact
    try:
        artifact = kind.model_validate(manifest.artifact)
    except ValidationError as error:
        raise IntegrityError(
            "the manifest was written by another version",
            where=str(directory),
            fix=f"run with --fresh {ref.stage} to make it again",
        ) from error
    check_description(manifest, artifact, directory)
    typed: Any = Stored[kind]  # type: ignore[valid-type]
    stored: Stored[Any] = typed(ref=ref, content_digest=manifest.content_digest, path=directory, artifact=artifact)
    return stored


def load_version(store: Store, version: RegisteredVersion) -> Stored[RegisterArtifact]:
    """Return the record of a registered version.

    Raises:
        IntegrityError: it does not exist, or has other content than when it was registered.
    """
    record = load(store, version.ref)
    if record.content_digest != version.content_digest:
        raise IntegrityError(
            f"the record of {version} was made again and has other content",
            where=str(record.path),
            fix="use a version that was registered since",
        )
    return record


def load_held(store: Store, lineage: Lineage, ref: ArtifactRef) -> Stored[Any]:
    """Return an artifact of a version.

    Raises:
        IntegrityError: it does not exist, or has other content than when the version was registered.
    """
    stored = load(store, ref)
    check_content(lineage, ref, stored.content_digest)
    return stored


def _damage(store: Store, ref: ArtifactRef) -> str | None:
    """Return what is wrong with an artifact without reading its files; None where nothing is, or there is none."""
    if (damage := find_damage(store, ref)) is not None:
        return damage
    try:
        if store.manifest(ref) is not None:
            load(store, ref)
    except IntegrityError as error:
        return error.message
    return None


def prepare(call: StageCall, store: Store, offered: Device = "cpu") -> Prepared:
    """Validate a call and find out which artifact it makes; ``offered`` is the device that the runner has.

    Raises:
        ConfigError: config or inputs do not fit the stage.
        IntegrityError: an input artifact is missing.
    """
    entry = CATALOG[call.stage]
    loaded = {
        name: load(store, refs)
        if isinstance(refs, ArtifactRef)
        else {key: load(store, ref) for key, ref in refs.items()}
        for name, refs in call.inputs.items()
    }
    try:
        config = entry.config.model_validate(call.config)
        inputs = entry.inputs.model_validate(loaded)
    except ValidationError as error:
        raise ConfigError(_first_line(error), where=call.id, fix="check the run description") from error
    environment, device = entry.environment(config, offered)
    print_ = fingerprint(
        stage=call.stage,
        config=config,
        inputs=inputs,
        stage_version=entry.version,
        environment_digest=environment_digest(environment, device),
    )
    ref = ArtifactRef(stage=call.stage, fingerprint=print_)
    return Prepared(call, entry, config, inputs, environment, device, ref)


def finished(prepared: Prepared, store: Store, context: CallContext) -> CallResult | None:
    """Return the result of a call that was done before; None where it was not, or where what it left is damaged.

    That another version of hone made it is said.
    """
    if _damage(store, prepared.ref) is not None:
        return None
    manifest = store.manifest(prepared.ref)
    if manifest is None:
        return None
    if manifest.code_version != CODE_VERSION:
        context.emit("log", f"{prepared.call.id} is taken from {prepared.ref}, made by hone {manifest.code_version}")
    return CallResult(call_id=prepared.call.id, status="cached", ref=prepared.ref, cost=manifest.cost)


def execute(
    call: StageCall, root: Path, context: CallContext, offered: Device = "cpu", leases: Leases | None = None
) -> CallResult:
    """Carry out one stage call in this process, once: a finished one is returned as cached.

    Errors are part of the result. KeyboardInterrupt passes through. ``leases`` None keeps them in the workspace.
    """
    store = Store(root, leases)
    try:
        prepared = prepare(call, store, offered)
        notice = f"another process is making {prepared.ref}; waiting for it"
        with store.leases.hold(prepared.ref, lambda: context.emit("log", notice), context.check):
            done = None if context.renew else finished(prepared, store, context)
            return done if done is not None else _run(prepared, store, context)
    except Exception as error:  # noqa: BLE001 - the boundary: whatever a library raises becomes a result
        return failed(call, context, as_hone_error(error, call.id))


def _run(prepared: Prepared, store: Store, context: CallContext) -> CallResult:
    ref = prepared.ref
    for used in input_refs(prepared.call):
        verify_once(store, used)
    if (damage := _damage(store, ref)) is not None:
        context.warn(f"{ref} is damaged and made again: {damage}")
    if context.restart:
        store.discard_work(ref)
    workspace = store.open_work(ref)
    context.emit("started", f"{prepared.call.id} -> {ref}", pid=os.getpid(), fingerprint=ref.fingerprint)
    spending = Spending(store.spent_file(ref))
    try:
        artifact = _call_stage(prepared, replace(context, sink=spending.watch(context.sink)), workspace)
        _write_records(prepared, workspace)
        manifest = _manifest(prepared, artifact, workspace, spending.total())
        _commit(prepared, store, context, workspace, manifest)
    except BaseException:
        spending.note()
        raise
    context.emit("finished", str(ref), content_digest=manifest.content_digest)
    return CallResult(call_id=prepared.call.id, status="done", ref=ref, cost=manifest.cost)


def _call_stage(prepared: Prepared, context: CallContext, workspace: Workspace) -> Artifact:
    seed = getattr(prepared.config, "seed", None)
    if seed is not None:
        seed_everything(seed)
    return prepared.entry.run(prepared.config, prepared.inputs, context, workspace)


def _commit(prepared: Prepared, store: Store, context: CallContext, workspace: Workspace, manifest: Manifest) -> None:
    """Put the artifact in its place; where it takes that of one with other bytes, versions may have lost theirs."""
    ref = prepared.ref
    replaced = store.manifest(ref) if find_damage(store, ref) is None else None
    store.commit(ref, workspace, manifest)
    remember(store, ref, manifest)
    if replaced is not None and replaced.content_digest != manifest.content_digest:
        context.warn(f"{ref} has other content than before: a version that came from it can no longer be used")


def input_refs(call: StageCall) -> Iterator[ArtifactRef]:
    """Yield every artifact that a call takes."""
    for value in call.inputs.values():
        yield from (value,) if isinstance(value, ArtifactRef) else value.values()


def _write_records(prepared: Prepared, workspace: Workspace) -> None:
    write_record(workspace.output / "config.json", canonical(prepared.config))
    refs = {
        name: value.model_dump() if isinstance(value, ArtifactRef) else {k: v.model_dump() for k, v in value.items()}
        for name, value in prepared.call.inputs.items()
    }
    write_record(workspace.output / "inputs.json", refs)


def _manifest(prepared: Prepared, artifact: Artifact, workspace: Workspace, cost: Cost) -> Manifest:
    files = list_files(workspace.output)
    return Manifest(
        stage=prepared.ref.stage,
        fingerprint=prepared.ref.fingerprint,
        content_digest=artifact_digest(files, artifact),
        stage_version=prepared.entry.version,
        code_version=CODE_VERSION,
        environment=prepared.environment,
        environment_digest=prepared.environment_digest,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        files=files,
        artifact=artifact.model_dump(mode="json"),
        cost=cost,
    )


def failed(call: StageCall, context: CallContext, error: HoneError) -> CallResult:
    """Return the result of a call that ended with ``error``, and tell it."""
    record = error.record()
    context.emit("failed", str(error), **record.model_dump())
    return CallResult(call_id=call.id, status="failed", error=record)


def _first_line(error: ValidationError) -> str:
    first = error.errors()[0]
    return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"


def carry_out(
    request: CallRequest,
    sink: Callable[[Event], None],
    cancelled: Callable[[], bool],
    leases: Leases | None = None,
) -> CallResult:
    """Carry out a request in this process: `execute` with the context that the request asks for."""
    context = CallContext(
        call_id=request.call.id,
        sink=sink,
        deadline=None if request.seconds is None else time.monotonic() + request.seconds,
        limit=request.limit,
        cancelled=cancelled,
        secrets=request.secrets,
        renew=request.renew,
        restart=request.restart,
        processes=request.processes,
    )
    return execute(request.call, request.root, context, request.device, leases)


def _serve_request(write: Callable[[dict[str, Any]], None]) -> CallResult:
    """Carry out the request on standard input."""
    request = CallRequest.model_validate_json(sys.stdin.read())
    stop = {"requested": False}

    def request_stop(_signal: int, _frame: object) -> None:
        stop["requested"] = True

    signal.signal(signal.SIGINT, request_stop)
    signal.signal(signal.SIGTERM, request_stop)

    def sink(event: Event) -> None:
        write({"event": event.model_dump(mode="json")})

    return carry_out(request, sink, lambda: stop["requested"])


def main() -> int:
    """Serve one request; standard output carries only JSON lines, whatever libraries print goes to standard error."""
    os.environ.setdefault("TQDM_DISABLE", "1")
    lines = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)

    def write(line: dict[str, Any]) -> None:
        lines.write(json.dumps(line) + "\n")

    try:
        result = _serve_request(write)
    except KeyboardInterrupt:
        error = Cancelled("the run was cancelled", fix="run the same command again to go on")
        result = CallResult(call_id="call", status="failed", error=error.record())
    write({"result": result.model_dump(mode="json")})
    return 0


if __name__ == "__main__":
    sys.exit(main())
