"""`hone plan` looks at a run without starting it: the champion is pinned by the first `hone run`."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from local_runner.caller import LocalCaller
from pipeline.control.session import Prepared, Session
from pipeline.core.workspace import Store
from schemas.errors import ExitCode
from tests.control.test_session import FINISHED
from tests.local_runner.conftest import Hone, write_rows
from tests.local_runner.test_bad_input import GOOD, ROWS
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


def test_a_plan_over_budget_ends_with_its_code(description: Path, hone: Hone) -> None:
    root = description.with_name("workspace")
    planned = hone("plan", description, "-w", root, "--set", "constraints.max_cost=0.0001")
    assert planned.code == ExitCode.BUDGET
    assert "constraints.max_cost allows 0.0001 US dollars" in planned.out
    gpus = [line.split()[1] for line in planned.out.splitlines() if re.match(r"\d+x ", line)]
    dollars = [float(line.split()[-1]) for line in planned.out.splitlines() if re.match(r"\d+x ", line)]
    assert len(gpus) == 6
    assert dollars == sorted(dollars)
    assert "←" in next(line for line in planned.out.splitlines() if re.match(r"\d+x ", line))


def test_a_message_may_begin_with_a_mark_and_be_overridden(tmp_path: Path, hone: Hone) -> None:
    path = tmp_path / "message.json"
    message = {"cmd": "FINETUNE_MODEL", "base_model": "qwen3-4b", "dataset": {"size": 800, "task": "ner"}}
    path.write_text(json.dumps(message), encoding="utf-8-sig")
    answered = hone("plan", "--acp", path, "--set", "method=qlora")
    assert (answered.code, answered.json["method"]["value"]) == (0, "qlora")


def test_the_champion_is_that_of_the_first_run(description: Path, tmp_path: Path) -> None:
    fixture = RunFixture(tmp_path / ".hone")
    registry = MemoryRegistry()
    session = Session(fixture.root, lambda: registry, LocalCaller())
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
