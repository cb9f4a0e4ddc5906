"""docs/methods.md is what the table of methods says."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path
from typing import get_args

import pytest

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


@pytest.mark.parametrize("name", METHODS)
def test_what_shows_a_method_is_there(name: TrainMethod) -> None:
    method = METHODS[name]
    path, _, test = method.learns.partition("::")
    function, _, parameter = test.rstrip("]").partition("[")
    tree = ast.parse((DOCS.parent / path).read_text(encoding="utf-8"))
    assert function in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    texts = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    assert not parameter or parameter == name in texts
    assert method.gpu is None or (DOCS / method.gpu).is_file()
