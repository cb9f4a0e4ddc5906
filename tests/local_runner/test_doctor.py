"""What `hone doctor` finds, and that a run tells of packages that are not as pinned."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import pytest

import local_runner.pins
from local_runner.caller import LocalCaller
from local_runner.doctor import examine
from local_runner.pins import differing, shown, warn_of_packages
from pipeline.control.session import Prepared, Session
from schemas.errors import ExitCode
from schemas.events import Event
from tests.local_runner.conftest import Hone
from tests.support.memory_registry import MemoryRegistry
from tests.support.run_fixture import RunFixture

PINS = ("present==1.0", "built==2.0", "old==3.0 --hash=sha256:00", "absent==4.0; python_version > '3'")
INSTALLED = {"present": "1.0", "built": "2.0+cpu", "old": "2.9"}


def version(name: str) -> str:
    try:
        return INSTALLED[name]
    except KeyError:
        raise importlib.metadata.PackageNotFoundError(name) from None


@pytest.fixture
def other_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_runner.pins, "requirements", lambda name: PINS)
    monkeypatch.setattr(importlib.metadata, "version", version)


@pytest.mark.usefixtures("other_packages")
def test_packages_are_compared_with_their_pins() -> None:
    assert differing() == ("old is 2.9, pinned 3.0", "absent is missing")
    assert shown(tuple("abcdefg")) == "a; b; c; d; e; and 2 more"


@pytest.mark.usefixtures("other_packages")
def test_doctor_names_what_differs_and_the_fix(tmp_path: Path, hone: Hone) -> None:
    found = {check.name: check for check in examine(tmp_path)}
    assert found["main environment"].level == "error"
    assert "old is 2.9" in found["main environment"].found
    assert "make setup" in found["main environment"].fix
    ran = hone("doctor", "-w", tmp_path)
    assert ran.code == ExitCode.ENVIRONMENT
    assert "✗ main environment: old is 2.9, pinned 3.0; absent is missing" in ran.out


def test_doctor_looks_at_everything_once(tmp_path: Path) -> None:
    names = [check.name for check in examine(tmp_path / "not" / "there")]
    assert len(set(names)) == len(names)
    environments = {f"{name} environment" for name in ("main", "optimize-legacy", "serve-vllm")}
    assert {"python", "packages", *environments, "disk", "memory", "workspace"} == set(names)


def test_doctor_prints_brackets_as_they_are(tmp_path: Path, hone: Hone) -> None:
    assert f"workspace: {tmp_path}/x[/red]" in hone("doctor", "-w", f"{tmp_path}/x[/red]").out


@pytest.mark.usefixtures("other_packages")
def test_a_run_warns_of_packages_that_are_not_as_pinned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fixture = RunFixture(tmp_path / ".hone")
    session = Session(fixture.root, MemoryRegistry, LocalCaller())
    prepared = Prepared(fixture.resolved(), session.runs.directory(fixture.build()))
    told: list[Event] = []
    warn_of_packages(prepared.directory, told.append)
    assert [event.kind for event in told] == ["warning"]
    assert "old is 2.9, pinned 3.0; absent is missing; install" in told[0].message
    assert prepared.directory.events() == told


@pytest.mark.slow
@pytest.mark.parametrize("place", ["/dev/null", "/proc/x", "file", "file/below"])
def test_a_workspace_that_cannot_be_one_is_found_by_trying(place: str, tmp_path: Path, hone: Hone) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "spec.yaml").write_text("name: x\n")
    root = tmp_path / place
    doctor = hone("doctor", "-w", root, "--json")
    found = {check["name"]: check for check in doctor.json["checks"]}
    assert doctor.code == ExitCode.ENVIRONMENT and doctor.json["ok"] is False
    assert found["workspace"]["level"] == "error"
    for command in (("gc",), ("run", tmp_path / "spec.yaml")):
        ran = hone(*command, "-w", root, "--json")
        assert ran.code == ExitCode.STORAGE
        assert ran.json["error"]["message"].startswith("this cannot be the workspace")
        assert (ran.json["error"]["where"], ran.json["error"]["detail"]) == (str(root), None)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "spec.yaml"]
