"""A reward model is a run of its own, and another run names it by that run: both through the command line."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest
import yaml

from local_runner.demo.files import draw_commands
from tests.e2e.conftest import GATE_FAILED, Finished, run_smoke

pytestmark = pytest.mark.full

STEPS = {"learning_rate": 1e-3, "max_steps": 6, "per_device_train_batch_size": 8, "gradient_accumulation_steps": 1}


def described(folder: Path, name: str, rows: list[dict[str, str]], train: dict[str, Any]) -> Finished:
    """Write rows and description, and carry it out; the last 40 rows are the test's."""
    for part, some in (("train", rows[:-40]), ("test", rows[-40:])):
        (folder / f"{name}-{part}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in some))
    spec = {
        "name": name,
        "task": "generation",
        "base_model": "hone:tiny",
        "data": {"path": f"{name}-train.jsonl", "test_path": f"{name}-test.jsonl", "system": "Name the command."},
        "train": {"lora": {"r": 8}, **STEPS, **train},
        "evaluate": {} if train["method"] == "reward" else {"retention_waived": "a test", "baselines": {"few_shot": 0}},
        "serve": False,
    }
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(spec, sort_keys=False))
    return run_smoke(folder / f"{name}.yaml", folder / "workspace")


def test_a_run_is_rewarded_by_the_model_of_another(tmp_path: Path) -> None:
    chance, commands = Random(0), draw_commands()[0][:300]
    answers = [(one.utterance, one.answer, chance.choice(commands).answer) for one in commands]
    pairs = [{"prompt": asked, "chosen": right, "rejected": wrong} for asked, right, wrong in answers if right != wrong]
    judge = described(tmp_path, "judge", pairs, {"method": "reward"})
    # the embedded base knows these commands, so that a few steps are no gain over it
    assert judge.code == GATE_FAILED
    assert judge.printed["executed"] == [
        "plan",
        "data",
        "evaluate.baseline-base",
        "train.seed-0",
        "evaluate.seed-0",
        "register",
    ]
    assert not any("not served" in reason for reason in judge.printed["summary"]["reasons"])
    rows = [{"prompt": asked, "completion": right} for asked, right, _ in answers]
    reward = {"name": "reward_model", "params": {"model": "run:judge"}}
    options = {"method": "grpo", "rewards": [reward], "grpo": {"max_completion_length": 8}}
    taught = described(tmp_path, "taught", rows, options)
    assert "train.seed-0" in taught.printed["executed"]
    report = json.loads(Path(taught.printed["summary"]["report"]).with_suffix(".json").read_text())
    (trained,) = report["training"]
    assert set(trained["rewards"]["first"]["rewards"]) == {"reward_model"}
