"""docs/methods.md is what the table of methods says."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import get_args

from pipeline.backends.training import methods
from schemas.methods import METHODS, TrainMethod

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_the_page_is_up_to_date() -> None:
    spec = importlib.util.spec_from_file_location("generate_methods", DOCS / "generate_methods.py")
    assert spec is not None and spec.loader is not None
    generator = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generator)
    page = (DOCS / "methods.md").read_text(encoding="utf-8")
    assert page == generator.methods_markdown(), "run python docs/generate_methods.py"


def test_every_method_has_its_line_and_its_trainer() -> None:
    assert tuple(METHODS) == get_args(TrainMethod)
    folder = Path(methods.__file__).parent
    assert {path.stem for path in folder.glob("*.py")} - {"__init__"} == set(METHODS)
