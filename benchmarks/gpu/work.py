"""What the parts share: bases, rows, and stage calls carried out as a runner carries them out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.core.digests import DigestCache
from pipeline.core.workspace import Store, write_atomic
from pipeline.embedded import TINY_BASE
from pipeline.execute import carry_out
from schemas.artifacts import CallResult, StageCall
from schemas.base import ArtifactRef, Device, Reference
from schemas.events import Event
from schemas.request import CallRequest

Record = dict[str, Any]
Row = dict[str, str]


class CheckError(Exception):
    """A stage call failed that should not have."""


@dataclass(frozen=True)
class Attempt:
    """One attempt at a call: how it ended (None where it was killed), what it told, and its seconds."""

    result: CallResult | None
    events: tuple[Event, ...]
    seconds: float

    @property
    def ref(self) -> ArtifactRef:
        """The artifact that was made."""
        assert self.result is not None
        assert self.result.ref is not None
        return self.result.ref


def tried(part: str, what: str, measure: Callable[[], Record]) -> Record:
    """Return what ``measure`` found; where it fails, the error takes its place and the other checks go on."""
    started = time.monotonic()
    try:
        found = measure()
    except Exception as error:  # noqa: BLE001 - whatever goes wrong on a GPU is a finding
        lines = str(error).strip().splitlines() or [""]
        found = {"error": f"{type(error).__name__}: {' / '.join(lines[-6:])}"}
    return {"part": part, "what": what, **found, "check_seconds": round(time.monotonic() - started, 1)}


def reference(path: Path) -> Record:
    """Refer to a file or folder, with its digest."""
    return Reference(location=str(path), digest=DigestCache(None).digest(path)).model_dump()


def base_ref(name: str, folder: Path = TINY_BASE) -> Record:
    """Refer to a base model."""
    return {"name": name, "weights": reference(folder)}


def data_call(folder: Path, train: Iterable[Mapping[str, str]], test: Iterable[Mapping[str, str]] = ()) -> StageCall:
    """Write the rows into ``folder`` and return the call that makes data of them; an eighth is for validation."""
    files: Record = {"train": reference(_write(folder / "train.jsonl", train))}
    tested = list(test)
    if tested:
        files["test"] = reference(_write(folder / "test.jsonl", tested))
    options = {
        "contradictions": "keep",
        "deduplicate": {"exact": False, "near": False},
        "personal_data": {"action": "off"},
        "split": {"validation": 0.125 if tested else 0.0, "test": 0.0, "by": "random"},
    }
    return StageCall(id="data", stage="data", config={"files": files, "options": options})


def _write(path: Path, rows: Iterable[Mapping[str, str]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, "".join(json.dumps(row) + "\n" for row in rows))
    return path


def here(call: StageCall, root: Path, device: Device, sink: Callable[[Event], None] = lambda _: None) -> Attempt:
    """Carry out a call in this process; how it ended is for the caller to look at."""
    events: list[Event] = []

    def note(event: Event) -> None:
        events.append(event)
        sink(event)

    started = time.monotonic()
    result = carry_out(CallRequest(call=call, root=root, device=device), note, lambda: False)
    return Attempt(result, tuple(events), time.monotonic() - started)


def done(attempt: Attempt) -> Attempt:
    """Return an attempt that succeeded.

    Raises:
        CheckError: it failed.
    """
    result = attempt.result
    if result is None or result.error is not None:
        raise CheckError(str(result.error) if result is not None else "the call was killed")
    return attempt


def apart(
    call: StageCall, root: Path, device: Device, *, kill: Callable[[Event], bool] = lambda _: False, threads: int = 2
) -> Attempt:
    """Carry out a call in a process of its own, which is killed (SIGKILL) at the first event that ``kill`` picks.

    Raises:
        CheckError: the process ended without a result.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1"}
    if device == "cpu":
        environment["CUDA_VISIBLE_DEVICES"] = ""
    request = CallRequest(call=call, root=root, device=device)
    root.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    with (root / f"{call.id}.log").open("w+") as log:
        command = [sys.executable, "-m", "pipeline.execute"]
        pipe = subprocess.PIPE
        process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=log, text=True, env=environment)
        assert process.stdin is not None
        process.stdin.write(request.model_dump_json())
        process.stdin.close()
        events, result, killed = _follow(process, kill)
        seconds = time.monotonic() - started
        log.seek(0)
        told = log.read()[-1500:]
    if result is None and not killed:
        raise CheckError(f"{call.id} ended without a result (exit code {process.returncode}): {told}")
    return Attempt(result, tuple(events), seconds)


def _follow(
    process: subprocess.Popen[str], kill: Callable[[Event], bool]
) -> tuple[list[Event], CallResult | None, bool]:
    events: list[Event] = []
    result, killed = None, False
    assert process.stdout is not None
    for line in process.stdout:
        sent = json.loads(line)
        if "result" in sent:
            result = CallResult.model_validate(sent["result"])
            continue
        events.append(Event.model_validate(sent["event"]))
        if not killed and kill(events[-1]):
            process.kill()
            killed = True
    process.wait()
    return events, result, killed


def model_folder(root: Path, ref: ArtifactRef) -> Path:
    """Return the folder of the model that a stage left."""
    return Store(root).directory(ref) / "model"


def weights(folder: Path) -> dict[str, Any]:
    """Return all tensors of a model folder, on the CPU in float32."""
    from safetensors.torch import load_file

    found: dict[str, Any] = {}
    for path in sorted(folder.glob("*.safetensors")):
        found |= {name: tensor.float() for name, tensor in load_file(path).items()}
    return found


def relative_difference(left: dict[str, Any], right: dict[str, Any]) -> float:
    """Return |left - right| / |left| over all tensors."""
    if left.keys() != right.keys():
        raise CheckError(f"other tensors: {sorted(left.keys() ^ right.keys())[:3]}")
    squares = sum(float((left[name] - right[name]).double().square().sum()) for name in left)
    return float((squares / sum(float(tensor.double().square().sum()) for tensor in left.values())) ** 0.5)


def losses(root: Path, ref: ArtifactRef) -> tuple[list[float], float | None]:
    """Return the training loss of every step, and the last evaluation loss."""
    text = (Store(root).directory(ref) / "log.jsonl").read_text(encoding="utf-8")
    lines = [json.loads(line) for line in text.splitlines()]
    evaluated = [line["eval_loss"] for line in lines if "eval_loss" in line]
    return [line["loss"] for line in lines if "loss" in line], evaluated[-1] if evaluated else None


def versions() -> Iterator[tuple[str, str]]:
    """Yield the versions of the libraries that decide speed and memory."""
    from importlib.metadata import PackageNotFoundError, version

    for name in ("torch", "transformers", "trl", "peft", "accelerate", "bitsandbytes", "llmcompressor", "triton"):
        try:
            yield name, version(name)
        except PackageNotFoundError:
            continue
