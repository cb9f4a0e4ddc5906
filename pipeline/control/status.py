"""How a run stands: every call with its state, and what the one under way last said."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from pipeline.core.workspace import Store
from pipeline.report.progress import expected_calls
from schemas.base import ArtifactRef

if TYPE_CHECKING:
    from rich.console import Console

    from pipeline.control.runs import RunDirectory
    from schemas.events import Event

State = Literal["finished", "failed", "running", "interrupted", "waiting"]


@dataclass(frozen=True)
class CallStatus:
    """One call. ``progress`` is (label, done, total) of its last bar, null once it is finished; ``metrics`` the last
    values it told.
    """

    id: str
    state: State
    seconds: float | None = None
    progress: tuple[str, int, int] | None = None
    metrics: dict[str, float] | None = None
    checkpoint_step: int | None = None
    error: str | None = None


@dataclass(frozen=True)
class RunStatus:
    """A run and its calls in order."""

    run: str
    state: State
    calls: tuple[CallStatus, ...]

    def as_json(self) -> dict[str, Any]:
        """Return the status as JSON data."""
        return asdict(self)

    def show(self, out: Console) -> None:
        """Print it for people."""
        from rich.markup import escape
        from rich.table import Table

        out.print(f"[bold]{self.run}[/]: {self.state}")
        table = Table(box=None, pad_edge=False, show_header=False)
        for call in self.calls:
            table.add_row(f"  {_MARKS[call.state]}", call.id, call.state, escape(_detail(call)))
        out.print(table)


_MARKS: dict[State, str] = {"finished": "✓", "failed": "✗", "running": "…", "interrupted": "!", "waiting": " "}


def _detail(call: CallStatus) -> str:
    parts = []
    if call.progress is not None and call.state == "running":
        label, done, total = call.progress
        parts.append(f"{label} {done}/{total}")
    if call.metrics and call.state in ("running", "finished"):
        parts += [f"{name} {value:.4g}" for name, value in call.metrics.items() if name in ("loss", "eval_loss")]
    if call.seconds is not None:
        parts.append(f"{call.seconds:.1f} s")
    if call.error:
        parts.append(call.error)
    return ", ".join(parts)


def run_status(store: Store, directory: RunDirectory) -> RunStatus:
    """Return how the run stands now; a call that began, did not end and holds no lease was interrupted."""
    recorded = directory.calls()
    names = list(dict.fromkeys([*expected_calls(directory.read()), *recorded]))
    calls = tuple(_call_status(store, directory, name, recorded.get(name)) for name in names)
    return RunStatus(directory.run, _overall(calls), calls)


def _overall(calls: tuple[CallStatus, ...]) -> State:
    states = {call.state for call in calls}
    order: tuple[State, ...] = ("running", "failed", "interrupted", "waiting")
    return next((state for state in order if state in states), "finished")


def _call_status(store: Store, directory: RunDirectory, name: str, recorded: dict[str, Any] | None) -> CallStatus:
    events = directory.events(name)
    started = [event for event in events if event.kind == "started"]
    said = _last_words(events)
    open_ended = bool(started) and events[-1].kind not in ("finished", "failed")
    if open_ended and _leased(store, started[-1]):
        return CallStatus(name, "running", _elapsed(started[-1]), **said)
    if recorded is not None and recorded["status"] in ("done", "cached"):
        seconds = recorded["cost"]["wall_seconds"] if recorded.get("cost") else None
        return CallStatus(name, "finished", seconds, **(said | {"progress": None}))
    if open_ended:
        return CallStatus(name, "interrupted", _elapsed(started[-1]), **said)
    if recorded is not None and recorded["status"] == "failed":
        return CallStatus(name, "failed", error=recorded["error"]["message"], **said)
    return CallStatus(name, "waiting")


def _elapsed(event: Event) -> float:
    return round(time.time() - event.time, 1)


def _last_words(events: list[Event]) -> dict[str, Any]:
    progress = [event.data for event in events if event.kind == "progress"]
    steps = [event.data.get("step") for event in events if event.kind == "checkpoint"]
    metrics: dict[str, float] = {}
    for event in events:
        if event.kind == "metric":
            metrics |= {name: float(value) for name, value in event.data.items() if isinstance(value, (int, float))}
    last = progress[-1] if progress else None
    return {
        "progress": None if last is None else (last["label"], last["done"], last["total"]),
        "metrics": metrics or None,
        "checkpoint_step": steps[-1] if steps else None,
    }


def _leased(store: Store, started: Event) -> bool:
    """Tell whether somebody holds the lease of the artifact that this attempt makes."""
    stage, fingerprint = started.call_id.partition(".")[0], started.data.get("fingerprint")
    return fingerprint is not None and store.leases.is_held(
        ArtifactRef.model_validate({"stage": stage, "fingerprint": fingerprint})
    )
