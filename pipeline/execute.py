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
import traceback
from collections.abc import Callable
from dataclasses import dataclass
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
    InternalError,
    OutOfMemory,
    storage_error,
)
from pipeline.core.fingerprint import fingerprint
from pipeline.core.measure import Meter
from pipeline.core.seeding import seed_everything
from pipeline.core.version import CODE_VERSION
from pipeline.core.workspace import Store, Workspace, content_digest, list_files, write_record
from pipeline.environments import environment_digest
from schemas.artifacts import Artifact, CallResult, Cost, Inputs, Manifest, StageCall, Stored
from schemas.base import ArtifactRef, Schema, canonical
from schemas.events import Event


@dataclass(frozen=True)
class Prepared:
    """A validated call: its catalog entry, typed config and inputs, and the artifact that it makes."""

    call: StageCall
    entry: StageEntry
    config: Schema
    inputs: Inputs
    environment: str
    ref: ArtifactRef


def load(store: Store, ref: ArtifactRef) -> Stored[Any]:
    """Return a finished artifact with its typed description.

    Raises:
        IntegrityError: the artifact does not exist or its manifest does not fit its stage.
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
    typed: Any = Stored[kind]  # type: ignore[valid-type]
    stored: Stored[Any] = typed(ref=ref, content_digest=manifest.content_digest, path=directory, artifact=artifact)
    return stored


def prepare(call: StageCall, store: Store) -> Prepared:
    """Validate a call and find out which artifact it makes.

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
    environment = entry.environment(config)
    print_ = fingerprint(
        stage=call.stage,
        config=config,
        inputs=inputs,
        stage_version=entry.version,
        environment_digest=environment_digest(environment),
    )
    return Prepared(call, entry, config, inputs, environment, ArtifactRef(stage=call.stage, fingerprint=print_))


def finished(prepared: Prepared, store: Store) -> CallResult | None:
    """Return the result of a call that was done before; None where it was not."""
    manifest = store.manifest(prepared.ref)
    if manifest is None:
        return None
    return CallResult(call_id=prepared.call.id, status="cached", ref=prepared.ref, cost=manifest.cost)


def execute(call: StageCall, root: Path, context: CallContext) -> CallResult:
    """Carry out one stage call in this process, once: a finished one is returned as cached.

    Errors are part of the result. KeyboardInterrupt passes through.
    """
    store = Store(root)
    try:
        prepared = prepare(call, store)
        done = finished(prepared, store)
        if done is not None:
            return done
        notice = f"another process is making {prepared.ref}; waiting for it"
        with store.lease(prepared.ref, lambda: context.emit("log", notice)):
            done = finished(prepared, store)
            return done if done is not None else _run(prepared, store, context)
    except HoneError as error:
        return failed(call, context, error)
    except OSError as error:
        return failed(call, context, storage_error(error))
    except MemoryError:
        return failed(call, context, OutOfMemory("memory is used up", where=call.id, fix="lower the batch sizes"))
    except Exception as error:  # noqa: BLE001 - the boundary: whatever a library raises becomes a result
        unforeseen = InternalError(
            f"{type(error).__name__}: {error}",
            where=call.id,
            fix="this is a defect of hone or of a library; the detail has the traceback",
            detail=traceback.format_exc(),
        )
        return failed(call, context, unforeseen)


def _run(prepared: Prepared, store: Store, context: CallContext) -> CallResult:
    workspace = store.open_work(prepared.ref)
    context.emit("started", f"{prepared.call.id} -> {prepared.ref}", pid=os.getpid())
    meter = Meter()
    seed = getattr(prepared.config, "seed", None)
    if seed is not None:
        seed_everything(seed)
    artifact = prepared.entry.run(prepared.config, prepared.inputs, context, workspace)
    cost = meter.cost()
    _write_records(prepared, workspace)
    manifest = _manifest(prepared, artifact, workspace, cost)
    store.commit(prepared.ref, workspace, manifest)
    context.emit("finished", str(prepared.ref), content_digest=manifest.content_digest)
    return CallResult(call_id=prepared.call.id, status="done", ref=prepared.ref, cost=cost)


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
        content_digest=content_digest(files),
        stage_version=prepared.entry.version,
        code_version=CODE_VERSION,
        environment=prepared.environment,
        environment_digest=environment_digest(prepared.environment),
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


def _serve_request(write: Callable[[dict[str, Any]], None]) -> CallResult:
    """Carry out the request on standard input: ``{"call", "root", "seconds", "secrets"}``."""
    request = json.load(sys.stdin)
    stop = {"requested": False}

    def request_stop(_signal: int, _frame: object) -> None:
        stop["requested"] = True

    signal.signal(signal.SIGINT, request_stop)
    signal.signal(signal.SIGTERM, request_stop)

    def sink(event: Event) -> None:
        write({"event": event.model_dump(mode="json")})

    seconds = request.get("seconds")
    context = CallContext(
        call_id=request["call"]["id"],
        sink=sink,
        deadline=None if seconds is None else time.monotonic() + seconds,
        cancelled=lambda: stop["requested"],
        secrets=request.get("secrets", {}),
    )
    return execute(StageCall.model_validate(request["call"]), Path(request["root"]), context)


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
