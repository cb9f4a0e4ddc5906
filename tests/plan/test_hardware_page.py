"""docs/hardware.md shows what the code chooses, and every example."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from schemas.placement import GPU_TYPES

PROJECT = Path(__file__).resolve().parents[2]
PAGE = (PROJECT / "docs" / "hardware.md").read_text(encoding="utf-8")


def test_the_tables_are_up_to_date() -> None:
    spec = importlib.util.spec_from_file_location("generate_hardware", PROJECT / "docs" / "generate_hardware.py")
    assert spec is not None and spec.loader is not None
    generator = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generator)
    assert generator.page(PAGE) == PAGE, "run python docs/generate_hardware.py"


def test_every_example_and_every_gpu_is_named() -> None:
    for path in (PROJECT / "examples").glob("*.yaml"):
        assert f"(../examples/{path.name})" in PAGE
    for name in GPU_TYPES:
        assert f"`{name}`" in PAGE or f"| {name} |" in PAGE or name == "B200"
