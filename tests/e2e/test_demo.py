"""The embedded demo: it promotes honestly, and without replay the gate refuses it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from local_runner.demo.spec import write_demo
from tests.e2e.conftest import GATE_FAILED, hone, run_smoke

CPU_BUDGET = 600.0
"""Five minutes of a user's two quiet cores, in CPU-seconds."""


def conditions(printed: dict[str, Any]) -> dict[str, dict[str, Any]]:
    report = json.loads(Path(printed["summary"]["report"]).with_suffix(".json").read_text())
    return {condition["name"]: condition for condition in report["conditions"]}


@pytest.mark.vllm
@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_demo_promotes_with_the_proof(tmp_path: Path, vllm_python: Path) -> None:
    done = hone("demo", str(tmp_path / "demo"), "--json", timeout=1700)
    printed = json.loads(done.stdout)
    assert done.returncode == 0, printed
    summary = printed["summary"]
    assert summary["verdict"] == "Ship"
    assert summary["version"] == "support-triage@1"
    assert {row["label"] for row in summary["variants"]} == {"merged", "fp8_dynamic", "w4a16"}
    assert summary["served_answer"].startswith('{"intent":')
    found = conditions(printed)
    assert all(condition["passed"] for condition in found.values() if condition["required"])
    assert found["parity.prompts"]["estimate"] == 0
    assert sum(cost["cpu_seconds"] for cost in summary["costs"]) < CPU_BUDGET
    again = hone("demo", str(tmp_path / "demo"), "--json")
    assert json.loads(again.stdout)["executed"] == []
    shown = hone("show", "version", "support-triage@champion", "-w", str(tmp_path / "demo" / ".hone"))
    assert shown.returncode == 0, shown.stderr


@pytest.mark.full
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_without_replay_the_base_forgets_and_the_gate_refuses(tmp_path: Path) -> None:
    path = write_demo(tmp_path, rows=3000, seed=0)
    spec = yaml.safe_load(path.read_text())
    spec["train"] = {name: value for name, value in spec["train"].items() if name != "retention"} | {"max_steps": 150}
    spec["evaluate"]["baselines"] = {"few_shot": 0}
    path.write_text(yaml.safe_dump(spec | {"variants": [], "serve": False}))
    finished = run_smoke(path, tmp_path / "w")
    assert finished.code == GATE_FAILED
    retention = next(value for name, value in conditions(finished.printed).items() if name.startswith("retention"))
    assert not retention["passed"]
    assert retention["estimate"] < -0.03  # the margin
