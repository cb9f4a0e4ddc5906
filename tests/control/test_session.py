"""What a session writes down of a run: its version and aliases, again and again, whatever was removed in between."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from local_runner.caller import LocalCaller
from pipeline.control.controller import Outcome
from pipeline.control.session import Prepared, Session, registered
from pipeline.control.versions import open_version
from pipeline.core.errors import IntegrityError
from pipeline.core.workspace import Store
from schemas.base import ArtifactRef
from schemas.placement import HardwareSpec
from schemas.resolved import Champion
from tests.support.memory_registry import MemoryRegistry
from tests.support.run_fixture import RunFixture

FINISHED = Outcome("finished", (), ())


@pytest.fixture
def registry() -> MemoryRegistry:
    return MemoryRegistry()


def made(root: Path, registry: MemoryRegistry, **kind: Any) -> tuple[Session, Prepared, RunFixture]:
    fixture = RunFixture(root / ".hone", **kind)
    run = fixture.build()
    session = Session(fixture.root, lambda: registry, LocalCaller())
    return session, Prepared(fixture.resolved(), session.runs.directory(run)), fixture


def test_a_run_that_passed_becomes_candidate_and_champion(tmp_path: Path, registry: MemoryRegistry) -> None:
    session, prepared, fixture = made(tmp_path, registry)
    session.track(prepared, FINISHED)
    (version,) = registry.list_versions()
    assert (str(version), version.ref, version.aliases) == (
        "triage@1",
        fixture.refs["register"],
        ("candidate", "champion"),
    )
    assert version.source == f"artifacts/register/{version.ref.fingerprint}"
    assert registered(prepared.directory) == (1, None)
    status, calls = registry.logged[prepared.directory.run]
    assert status == "finished"
    assert set(calls) == set(fixture.calls)


def test_a_run_that_is_to_be_rolled_out_stays_candidate(tmp_path: Path, registry: MemoryRegistry) -> None:
    session, prepared, _ = made(tmp_path, registry)
    spec = prepared.run.spec.model_copy(update={"promote": "candidate"})
    waiting = Prepared(prepared.run.model_copy(update={"spec": spec}), prepared.directory)
    session.track(waiting, FINISHED)
    (version,) = registry.list_versions()
    assert (version.verdict, version.aliases) == ("promoted", ("candidate",))
    registry.set_alias("triage", "champion", 1, None)  # as a rollout does at its end
    session.track(waiting, FINISHED)
    assert registry.list_versions()[0].aliases == ("candidate", "champion")


def test_a_refused_run_gets_a_number_and_no_alias(tmp_path: Path, registry: MemoryRegistry) -> None:
    session, prepared, _ = made(tmp_path, registry, promoted=False)
    session.track(prepared, FINISHED)
    (version,) = registry.list_versions()
    assert (version.verdict, version.aliases) == ("refused", ())


def test_the_place_of_a_version_that_it_was_not_compared_with_is_not_taken(
    tmp_path: Path, registry: MemoryRegistry
) -> None:
    session, prepared, _ = made(tmp_path, registry)
    registry.moves["triage", "champion"] = (7,)
    session.track(prepared, FINISHED)
    assert registry.alias("triage", "champion") == 7
    assert registry.alias("triage", "candidate") == 1
    number, notice = registered(prepared.directory)
    assert number == 1
    assert notice is not None
    assert "passed its gate and stays candidate" in notice


def test_it_takes_the_place_of_the_champion_that_it_beat(tmp_path: Path, registry: MemoryRegistry) -> None:
    session, prepared, fixture = made(tmp_path, registry)
    champion = Champion(version=7, model=fixture.refs["train.seed-0"], base=fixture.base())
    registry.moves["triage", "champion"] = (7,)
    beaten = Prepared(prepared.run.model_copy(update={"champion": champion}), prepared.directory)
    session.track(beaten, FINISHED)
    assert registry.alias_history("triage", "champion") == (7, 1)


def test_a_later_rollback_stands(tmp_path: Path, registry: MemoryRegistry) -> None:
    session, prepared, _ = made(tmp_path, registry)
    session.track(prepared, FINISHED)
    registry.moves["triage", "champion"] = (1, 2)
    (prepared.directory.path / "tracked.json").unlink()
    session.track(prepared, FINISHED)
    assert registry.alias("triage", "champion") == 2


def test_a_registry_that_was_moved_away_is_filled_again(tmp_path: Path, registry: MemoryRegistry) -> None:
    session, prepared, _ = made(tmp_path, registry)
    session.track(prepared, FINISHED)
    registry.held.clear()
    registry.moves.clear()
    registry.logged.clear()
    session.track(prepared, FINISHED)
    (version,) = registry.list_versions()
    assert version.aliases == ("candidate", "champion")
    assert list(registry.logged) == [prepared.directory.run]


def test_a_call_whose_artifact_was_removed_is_passed_over(tmp_path: Path, registry: MemoryRegistry) -> None:
    session, prepared, fixture = made(tmp_path, registry)
    for call_id in ("optimize.w4a16", "register"):
        shutil.rmtree(session.store.directory(fixture.refs[call_id]))
    session.track(prepared, Outcome("stopped", (), ()))
    status, calls = registry.logged[prepared.directory.run]
    assert status == "running"
    assert set(calls) == set(fixture.calls) - {"optimize.w4a16", "register"}
    assert registry.list_versions() == ()
    assert registered(prepared.directory) == (None, None)


def test_a_damaged_version_is_not_registered(tmp_path: Path, registry: MemoryRegistry) -> None:
    session, prepared, fixture = made(tmp_path, registry)
    (session.store.directory(fixture.refs["register"]) / "decision.json").write_text("{ }")
    with pytest.raises(IntegrityError, match="file is changed"):
        session.track(prepared, FINISHED)
    assert registry.list_versions() == ()


def test_a_version_record_that_was_made_again_is_registered_anew(tmp_path: Path, registry: MemoryRegistry) -> None:
    session, prepared, fixture = made(tmp_path, registry)
    session.track(prepared, FINISHED)
    first = registry.get_version("triage", 1)
    fixture.remake("register", "decision.json")
    session.track(prepared, FINISHED)
    session.track(prepared, FINISHED)
    assert [str(version) for version in registry.list_versions()] == ["triage@1", "triage@2"]
    assert registry.get_version("triage", 1).content_digest == first.content_digest
    number, notice = registered(prepared.directory)
    assert number == 2
    assert notice is not None  # the champion is triage@1, with which this run was not compared
    open_version(session.root, registry, "triage@2")


def test_folders_that_are_no_artifacts_are_passed_over(tmp_path: Path, registry: MemoryRegistry) -> None:
    session, _, fixture = made(tmp_path, registry)
    before = list(session.store.list())
    source = session.store.directory(fixture.refs["data"])
    shutil.copytree(source, source.with_name("backup"))
    shutil.copytree(source, source.parent.with_name("old") / source.name)
    assert list(session.store.list()) == before


def test_a_run_is_written_down_once_and_keeps_its_champion(tmp_path: Path, registry: MemoryRegistry) -> None:
    session, prepared, _ = made(tmp_path, registry)
    record = prepared.directory.path / "run.json"
    before = record.read_bytes()
    assert session.prepare(prepared.run).directory == prepared.directory
    assert record.read_bytes() == before
    assert json.loads(before)["champion"] is None


def test_an_artifact_is_named_by_stage_and_shortened_fingerprint() -> None:
    """Events name artifacts so, and `local_runner.gc` and `pipeline.control.status` find their work by it."""
    ref = ArtifactRef(stage="data", fingerprint="ab" * 32)
    assert str(ref) == "data/abababababab"
    assert Store(Path("/w")).work_directory(ref).name.startswith("abababababab")


def test_what_is_no_part_of_the_run_is_taken_as_it_was_last_said(tmp_path: Path, registry: MemoryRegistry) -> None:
    session, prepared, fixture = made(tmp_path, registry)
    before = prepared.directory.read()
    hardware = HardwareSpec.model_validate({"optimize": {"gpu": "H100", "memory": 65536}})
    spec = fixture.resolved().spec.model_copy(update={"hardware": hardware})
    asked = fixture.resolved().model_copy(update={"spec": spec})
    again = session.prepare(asked)
    assert again.directory == prepared.directory
    known = again.directory.read()
    assert known.spec.hardware == hardware
    assert (known.run, known.spec_digest, known.created_at) == (before.run, before.spec_digest, before.created_at)
