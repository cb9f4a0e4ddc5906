"""What goes and what stays: artifacts of no run and no version, and work that nobody carries on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from local_runner.caller import LocalCaller
from pipeline.control.gc import find_garbage, remove
from pipeline.control.runs import RunDirectory
from pipeline.control.session import Prepared, Session
from pipeline.core.errors import ConfigError
from pipeline.core.leases import FileLeases
from pipeline.core.workspace import Store
from pipeline.execute import load
from schemas.base import ArtifactRef
from schemas.errors import ExitCode
from schemas.events import Event
from tests.control.test_session import FINISHED
from tests.local_runner.conftest import Hone
from tests.support.memory_registry import MemoryRegistry
from tests.support.run_fixture import RunFixture

ORPHAN = ArtifactRef(stage="data", fingerprint="f" * 64)


@pytest.fixture
def fixture(tmp_path: Path) -> RunFixture:
    made = RunFixture(tmp_path / ".hone")
    made.build()
    return made


@pytest.fixture
def directory(fixture: RunFixture) -> RunDirectory:
    (run,) = Session(fixture.root, MemoryRegistry, LocalCaller()).runs.all()
    return run


def begin(directory: RunDirectory, call_id: str, ref: ArtifactRef, time: float = 1.0) -> Path:
    """Leave what an attempt leaves that was killed: its first event and its work."""
    write = directory.event_writer(call_id)
    write(Event(time=time, call_id=call_id, kind="started", message=f"{call_id} -> {ref}"))
    return work(directory.path.parents[1], ref)


def end(directory: RunDirectory, call_id: str, time: float = 1.5) -> None:
    write = directory.event_writer(call_id)
    write(Event(time=time, call_id=call_id, kind="finished"))


def work(root: Path, ref: ArtifactRef) -> Path:
    store = Store(root)
    (store.open_work(ref).scratch / "checkpoint").write_bytes(b"1234")
    with store.leases.hold(ref):
        pass
    return store.work_directory(ref)


def orphan(fixture: RunFixture) -> Path:
    store = Store(fixture.root)
    shutil.copytree(store.directory(fixture.refs["data"]), store.directory(ORPHAN))
    return store.directory(ORPHAN)


def test_what_a_run_refers_to_stays(fixture: RunFixture) -> None:
    gone = orphan(fixture)
    before = set(Store(fixture.root).list())
    garbage = find_garbage(Store(fixture.root), MemoryRegistry())
    assert garbage.artifacts == (ORPHAN,)
    assert garbage.bytes == sum(path.stat().st_size for path in gone.iterdir())
    remove(Store(fixture.root), garbage)
    assert set(Store(fixture.root).list()) == before - {ORPHAN}
    assert not list((fixture.root / "work").rglob("*.lock"))


def test_the_inputs_of_what_is_referred_to_stay(fixture: RunFixture, directory: RunDirectory) -> None:
    store = Store(fixture.root)
    orphan(fixture)
    inputs = store.directory(fixture.refs["train.seed-0"]) / "inputs.json"
    inputs.write_text(json.dumps({"data": fixture.refs["data"].model_dump(), "replay": {"old": ORPHAN.model_dump()}}))
    assert find_garbage(Store(fixture.root), MemoryRegistry()).artifacts == ()


def test_what_a_version_refers_to_outlives_its_run(fixture: RunFixture, directory: RunDirectory) -> None:
    registry = MemoryRegistry()
    record = load(Store(fixture.root), fixture.refs["register"])
    registry.register_version("triage", record.artifact, record.ref, record.content_digest, "artifacts/register/x")
    garbage = find_garbage(Store(fixture.root), registry, [directory.run])
    assert record.ref not in garbage.artifacts
    assert len(garbage.artifacts) == len(set(fixture.refs.values())) - 1


def test_the_run_behind_a_champion_is_not_forgotten(fixture: RunFixture, directory: RunDirectory) -> None:
    registry = MemoryRegistry()
    Session(fixture.root, lambda: registry, LocalCaller()).track(Prepared(fixture.resolved(), directory), FINISHED)
    with pytest.raises(ConfigError, match="triage@1 is candidate, champion"):
        find_garbage(Store(fixture.root), registry, ["triage"])


def test_work_that_nobody_began_goes_with_its_lock(fixture: RunFixture) -> None:
    left = work(fixture.root, ORPHAN)
    garbage = find_garbage(Store(fixture.root), MemoryRegistry())
    assert (garbage.work, garbage.bytes) == ((left,), 4)
    remove(Store(fixture.root), garbage)
    assert not list(left.parent.iterdir())


def test_work_that_a_process_holds_stays(fixture: RunFixture) -> None:
    left = work(fixture.root, ORPHAN)
    found = find_garbage(Store(fixture.root), MemoryRegistry())
    with Store(fixture.root).leases.hold(ORPHAN):
        assert FileLeases(fixture.root).is_held(ORPHAN)
        assert find_garbage(Store(fixture.root), MemoryRegistry()).work == ()
        remove(Store(fixture.root), found)  # begun after it was listed
        assert left.is_dir()
    assert not FileLeases(fixture.root).is_held(ORPHAN)


def test_an_artifact_that_a_process_holds_stays(fixture: RunFixture) -> None:
    kept = orphan(fixture)
    garbage = find_garbage(Store(fixture.root), MemoryRegistry())
    with Store(fixture.root).leases.hold(ORPHAN):
        remove(Store(fixture.root), garbage)
    assert kept.is_dir()


def test_work_that_a_run_can_resume_stays(fixture: RunFixture, directory: RunDirectory) -> None:
    begin(directory, "evaluate.other", ORPHAN)
    assert find_garbage(Store(fixture.root), MemoryRegistry()).work == ()


def test_work_of_a_finished_call_goes(fixture: RunFixture, directory: RunDirectory) -> None:
    left = begin(directory, "data", fixture.refs["data"])
    end(directory, "data")
    assert find_garbage(Store(fixture.root), MemoryRegistry()).work == (left,)


def test_a_stage_that_was_being_made_again_stays(fixture: RunFixture, directory: RunDirectory) -> None:
    """While `--fresh` makes it, the record says done and the artifact may still be there."""
    begin(directory, "train.seed-0", fixture.refs["train.seed-0"], time=1.0)
    end(directory, "train.seed-0", time=2.0)
    begin(directory, "train.seed-0", fixture.refs["train.seed-0"], time=3.0)
    assert find_garbage(Store(fixture.root), MemoryRegistry()).work == ()


def test_work_on_other_data_than_the_recorded_stays(fixture: RunFixture, directory: RunDirectory) -> None:
    begin(directory, "data", fixture.refs["data"], time=1.0)
    end(directory, "data")
    begin(directory, "data", ORPHAN, time=2.0)
    garbage = find_garbage(Store(fixture.root), MemoryRegistry())
    assert [path.name for path in garbage.work] == [fixture.refs["data"].fingerprint]


def test_an_artifact_that_is_finished_and_not_yet_recorded_stays(fixture: RunFixture, directory: RunDirectory) -> None:
    begin(directory, "data", ORPHAN)
    end(directory, "data")
    orphan(fixture)
    assert find_garbage(Store(fixture.root), MemoryRegistry()).artifacts == ()


def test_a_dry_run_counts_what_the_run_would_leave(fixture: RunFixture, directory: RunDirectory, hone: Hone) -> None:
    told = hone("gc", "--dry-run", "--run", "triage", "-w", fixture.root, "--json").json
    assert told["runs"] == [directory.run]
    assert len(told["artifacts"]) == len(set(fixture.refs.values()))
    assert directory.exists()
    done = hone("gc", "--run", "triage", "-w", fixture.root, "--json").json
    assert done == told | {"removed": True}
    assert not directory.path.exists()
    assert list(Store(fixture.root).list()) == []


def test_an_unknown_run_is_not_forgotten(fixture: RunFixture, hone: Hone) -> None:
    ran = hone("gc", "--dry-run", "--run", "triaje", "-w", fixture.root)
    assert ran.code != 0
    assert "no such run" in ran.err


def test_a_workspace_that_is_not_there_is_an_error(tmp_path: Path, hone: Hone) -> None:
    ran = hone("gc", "-w", tmp_path / "absent", "--json")
    assert ran.code == ExitCode.STORAGE
    assert ran.json["error"]["message"] == "no such workspace"
    assert not (tmp_path / "absent").exists()
