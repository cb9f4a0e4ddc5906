from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

import pipeline.execute
from pipeline.core.context import CallContext
from pipeline.core.spending import read_spent
from pipeline.core.workspace import Store, Workspace
from pipeline.execute import execute, prepare
from schemas.artifacts import CallResult, StageCall
from schemas.base import ArtifactRef
from schemas.events import Event
from tests.support.stages import Stages, data_call, install, train_call


@pytest.fixture
def stages(monkeypatch: pytest.MonkeyPatch) -> Stages:
    return install(monkeypatch)


def run(
    root: Path, call: StageCall, events: list[Event] | None = None, *, renew: bool = False, restart: bool = False
) -> CallResult:
    sink = events.append if events is not None else lambda _event: None
    return execute(call, root, CallContext(call_id=call.id, sink=sink, renew=renew, restart=restart))


def made(root: Path, call: StageCall, *, renew: bool = False) -> ArtifactRef:
    result = run(root, call, renew=renew)
    assert result.ref is not None, result.error
    return result.ref


def fails(_context: CallContext, _workspace: Workspace) -> None:
    raise RuntimeError("the stage fails")


def test_a_finished_call_is_cached(tmp_path: Path, stages: Stages) -> None:
    assert run(tmp_path, data_call()).status == "done"
    assert run(tmp_path, data_call()).status == "cached"
    assert stages.made == ["hello"]


@pytest.mark.parametrize("damage", ["missing", "truncated", "manifest"])
def test_an_artifact_that_is_damaged_at_first_sight_is_made_again(tmp_path: Path, stages: Stages, damage: str) -> None:
    folder = Store(tmp_path).directory(made(tmp_path, data_call()))
    match damage:
        case "missing":
            (folder / "text.txt").unlink()
        case "truncated":
            (folder / "text.txt").write_text("h")
        case "manifest":
            (folder / "manifest.json").write_text("{")
    events: list[Event] = []
    assert run(tmp_path, data_call(), events).status == "done"
    assert [
        event.message for event in events if event.kind == "warning" and "is damaged and made again" in event.message
    ]
    assert (folder / "text.txt").read_text() == "hello"
    assert run(tmp_path, data_call()).status == "cached"


def test_an_input_with_other_bytes_of_the_same_size_is_refused(tmp_path: Path, stages: Stages) -> None:
    data = made(tmp_path, data_call())
    (Store(tmp_path).directory(data) / "text.txt").write_text("hellO")
    result = run(tmp_path, train_call(data))
    assert result.error is not None
    assert (result.error.code, result.error.message) == ("integrity", "file is changed")
    assert stages.made == ["hello"]


def test_what_an_artifact_says_counts_like_its_files_but_not_how_long_it_took(tmp_path: Path, stages: Stages) -> None:
    def next_fingerprint(note: str, seconds: float) -> str:
        stages.note, stages.seconds = note, seconds
        data = made(tmp_path, data_call(), renew=True)
        return prepare(train_call(data), Store(tmp_path)).ref.fingerprint

    first = next_fingerprint("a", 1.0)
    assert next_fingerprint("a", 2.0) == first
    assert next_fingerprint("b", 1.0) != first


def test_making_again_keeps_the_old_artifact_until_the_new_one_is_whole(tmp_path: Path, stages: Stages) -> None:
    data = made(tmp_path, data_call())
    stages.before = fails
    assert run(tmp_path, data_call(), renew=True).status == "failed"
    Store(tmp_path).verify(data)

    def finds_the_old(_context: CallContext, workspace: Workspace) -> None:
        Store(tmp_path).verify(data)

    stages.before, stages.text = finds_the_old, "other"
    events: list[Event] = []
    assert run(tmp_path, data_call(), events, renew=True).ref == data
    assert (Store(tmp_path).directory(data) / "text.txt").read_text() == "other"
    assert any("has other content than before" in event.message for event in events)
    assert not Store(tmp_path).work_directory(data).exists()


def test_an_interrupted_renewal_goes_on_from_its_scratch(tmp_path: Path, stages: Stages) -> None:
    made(tmp_path, data_call())

    def saves_and_fails(_context: CallContext, workspace: Workspace) -> None:
        (workspace.scratch / "checkpoint").write_text("1")
        raise RuntimeError

    stages.before = saves_and_fails
    run(tmp_path, data_call(), renew=True)
    found: list[bool] = []
    stages.before = lambda _context, workspace: found.append((workspace.scratch / "checkpoint").exists())
    made(tmp_path, data_call(), renew=True)
    assert found == [True]


def test_what_begins_anew_takes_over_neither_work_nor_time(tmp_path: Path, stages: Stages) -> None:
    def saves_and_fails(_context: CallContext, workspace: Workspace) -> None:
        (workspace.scratch / "checkpoint").write_text("1")
        time.sleep(0.2)
        raise RuntimeError

    stages.before = saves_and_fails
    run(tmp_path, data_call())
    found: list[bool] = []
    stages.before = lambda _context, workspace: found.append((workspace.scratch / "checkpoint").exists())
    cost = run(tmp_path, data_call(), renew=True, restart=True).cost
    assert found == [False]
    assert cost is not None
    assert cost.wall_seconds < 0.2


def test_what_failed_and_killed_attempts_took_is_part_of_the_cost(tmp_path: Path, stages: Stages) -> None:
    def takes_time_and_fails(context: CallContext, _workspace: Workspace) -> None:
        time.sleep(0.2)
        raise RuntimeError

    stages.before = takes_time_and_fails
    run(tmp_path, data_call())
    store, ref = Store(tmp_path), prepare(data_call(), Store(tmp_path)).ref
    assert read_spent(store.spent_file(ref)).wall_seconds >= 0.2
    stages.before = lambda _context, _workspace: time.sleep(0.1)
    cost = run(tmp_path, data_call()).cost
    assert cost is not None
    assert cost.wall_seconds >= 0.3
    manifest = store.manifest(ref)
    assert manifest is not None
    assert manifest.cost == cost


def test_a_running_attempt_notes_what_it_took_with_its_events(
    tmp_path: Path, stages: Stages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.core.spending._NOTE_SECONDS", 0.0)
    store, ref = Store(tmp_path), prepare(data_call(), Store(tmp_path)).ref
    noted: list[float] = []

    def tells(context: CallContext, _workspace: Workspace) -> None:
        time.sleep(0.05)
        context.emit("log", "alive")
        noted.append(read_spent(store.spent_file(ref)).wall_seconds)

    stages.before = tells
    run(tmp_path, data_call())
    assert noted[0] >= 0.05


def test_reuse_of_what_another_version_made_is_said(
    tmp_path: Path, stages: Stages, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(tmp_path, data_call())
    monkeypatch.setattr(pipeline.execute, "CODE_VERSION", "9.9.9")
    events: list[Event] = []
    assert run(tmp_path, data_call(), events).status == "cached"
    assert ["made by hone" in event.message for event in events if event.kind == "log"] == [True]


def test_a_waiting_call_stops_when_it_is_asked_to(tmp_path: Path, stages: Stages) -> None:
    ref = prepare(data_call(), Store(tmp_path)).ref
    stop, events = threading.Event(), []

    def sink(event: Event) -> None:
        events.append(event)
        stop.set()

    with Store(tmp_path).leases.hold(ref):
        result = execute(data_call(), tmp_path, CallContext(sink=sink, cancelled=stop.is_set))
    assert result.error is not None
    assert result.error.code == "cancelled"
    assert "waiting for it" in events[0].message
    assert not store_spent(tmp_path, ref)


def test_a_waiting_call_stops_at_its_deadline(tmp_path: Path, stages: Stages) -> None:
    ref = prepare(data_call(), Store(tmp_path)).ref
    with Store(tmp_path).leases.hold(ref):
        result = execute(data_call(), tmp_path, CallContext(deadline=time.monotonic() + 0.1))
    assert result.error is not None
    assert result.error.code == "budget"


def store_spent(root: Path, ref: ArtifactRef) -> float:
    return read_spent(Store(root).spent_file(ref)).wall_seconds
