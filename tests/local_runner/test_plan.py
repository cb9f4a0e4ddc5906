"""`hone plan` looks at a run without starting it: the champion is pinned by the first `hone run`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from local_runner.session import Prepared, Session
from pipeline.core.workspace import Store
from tests.local_runner.conftest import Hone, write_rows
from tests.local_runner.test_bad_input import GOOD, ROWS
from tests.local_runner.test_session import FINISHED
from tests.support.memory_registry import MemoryRegistry
from tests.support.run_fixture import RunFixture


@pytest.fixture
def description(tmp_path: Path, tiny_base: Path) -> Path:
    shutil.copytree(tiny_base, tmp_path / "tiny")
    write_rows(tmp_path / "good.jsonl", ROWS)
    path = tmp_path / "good.yaml"
    path.write_text(json.dumps(GOOD | {"name": "triage"}))
    return path


def test_a_plan_leaves_an_artifact_and_no_run(description: Path, hone: Hone) -> None:
    root = description.with_name("workspace")
    planned = hone("plan", description, "-w", root, "--json")
    assert planned.code == 0, planned.out
    assert planned.json["feasible"] is True
    assert [ref.stage for ref in Store(root).list()] == ["plan"]
    assert not (root / "runs").exists()
    assert not (root / "mlflow.db").exists()
    again = hone("plan", description, "-w", root)
    assert again.code == 0
    assert "decisions" in again.out
    assert again.err == ""  # it was found done


def test_the_champion_is_that_of_the_first_run(description: Path, tmp_path: Path) -> None:
    fixture = RunFixture(tmp_path / ".hone")
    registry = MemoryRegistry()
    session = Session(fixture.root, lambda: registry)
    champion = Prepared(fixture.resolved(), session.runs.directory(fixture.build()))
    run = session.resolve(description)
    assert run.champion is None
    session.try_out(run, "plan", lambda event: None, lambda: False)
    session.track(champion, FINISHED)
    run = session.resolve(description)
    assert run.champion is not None
    assert run.champion.version == 1
    session.prepare(run)
    registry.moves["triage", "champion"] = (1, 2)
    assert session.resolve(description).champion == run.champion
