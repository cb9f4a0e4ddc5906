"""The demo as a folder: synthetic data and the description that runs on it."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from local_runner.demo.files import write_demo_data
from pipeline.core.workspace import write_atomic

SPEC_NAME = "triage.yaml"


def write_demo(folder: Path, *, rows: int, seed: int, test_rows: int = 800) -> Path:
    """Write the demo's data and description into ``folder`` and return the description's path.

    Written again, the same arguments leave the same bytes, so a finished demo does nothing when run again.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_demo_data(folder, rows=rows, test_rows=test_rows, seed=seed)
    spec = folder / SPEC_NAME
    write_atomic(spec, (files("local_runner.demo") / SPEC_NAME).read_text(encoding="utf-8"))
    return spec
