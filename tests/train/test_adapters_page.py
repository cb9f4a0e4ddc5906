"""docs/adapters.md is what the table of adapters says, and the table says what the plan does."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from pipeline.plan.adapter import not_servable
from schemas.adapters import ADAPTERS

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_is_up_to_date() -> None:
    spec = importlib.util.spec_from_file_location("generate_adapters", ROOT / "docs" / "generate_adapters.py")
    assert spec is not None and spec.loader is not None
    generator = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generator)
    page = (ROOT / "docs" / "adapters.md").read_text(encoding="utf-8")
    assert page == generator.adapters_markdown(), "run python docs/generate_adapters.py"


@pytest.mark.parametrize("name", ADAPTERS)
def test_the_plan_refuses_what_the_table_says_vllm_does_not_serve(name: str) -> None:
    assert (not_servable(ADAPTERS[name].settings(r=8)) == []) is ADAPTERS[name].vllm


@pytest.mark.parametrize("name", ADAPTERS)
def test_the_test_that_proves_it_is_there(name: str) -> None:
    assert (ROOT / ADAPTERS[name].proven).is_file()
