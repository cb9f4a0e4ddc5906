"""docs/adapters.md is what the table of adapters says, and the table says what the plan does."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from pipeline.plan.adapter import not_servable, not_served
from schemas.adapters import ADAPTERS, OTHERS, named
from schemas.lora import LoraSettings
from schemas.train import TrainSpec

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
    line = ADAPTERS[name]
    if line.kind in OTHERS:
        reasons = not_served(TrainSpec.model_validate({"adapter": line.kind}))
    else:
        reasons = not_servable(LoraSettings.model_validate({"r": 8, "lora_alpha": 16, **line.options}))
    assert (reasons == []) is line.vllm


@pytest.mark.parametrize("name", ADAPTERS)
def test_a_line_is_found_by_what_asks_for_it(name: str) -> None:
    assert name in named(ADAPTERS[name].kind, dict(ADAPTERS[name].options))


def test_an_adapter_may_be_several_at_once() -> None:
    assert set(named("lora", {"use_dora": True, "use_rslora": True})) == {"LoRA", "DoRA", "rsLoRA"}


@pytest.mark.parametrize("name", ADAPTERS)
def test_the_test_that_proves_it_is_there(name: str) -> None:
    assert (ROOT / ADAPTERS[name].proven).is_file()
