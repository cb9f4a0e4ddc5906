"""docs/monitoring.md has the table of detectors as the code has it."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import get_args

from pipeline.monitor.registry import DETECTORS
from schemas.monitor import DetectorName

DOCS = Path(__file__).resolve().parent.parent / "docs"
PAGE = (DOCS / "monitoring.md").read_text(encoding="utf-8")


def test_the_page_is_up_to_date() -> None:
    spec = importlib.util.spec_from_file_location("generate_monitoring", DOCS / "generate_monitoring.py")
    assert spec is not None and spec.loader is not None
    generator = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generator)
    assert generator.page(PAGE) == PAGE, "run python docs/generate_monitoring.py"
    assert all(f"| `{name}` |" in PAGE for name in DETECTORS)


def test_every_detector_has_a_file_and_a_source() -> None:
    assert tuple(DETECTORS) == get_args(DetectorName)
    assert [detector.detect.__module__.rpartition(".")[2] for detector in DETECTORS.values()] == list(DETECTORS)
