"""The smoke run: the whole main job on little data, in well under a minute, without an engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from local_runner.demo.spec import write_demo

ROWS = 1000
TEST_ROWS = 100


def write_smoke(folder: Path, **changes: Any) -> Path:
    """Write the demo's data, cut short, and a description of a run of a few steps; return the description's path.

    ``changes`` replace top-level sections.
    """
    demo = write_demo(folder, rows=ROWS, test_rows=TEST_ROWS, seed=0)
    spec = yaml.safe_load(demo.read_text())
    spec["train"] |= {"max_steps": 12, "save_steps": 4, "per_device_train_batch_size": 16}
    spec["evaluate"] |= {"max_items": 60}
    spec["evaluate"]["baselines"] = {"few_shot": 0}
    spec["variants"] = ["merged"]
    spec["serve"] = False
    spec |= changes
    path = folder / "smoke.yaml"
    path.write_text(yaml.safe_dump(spec, sort_keys=False))
    return path
