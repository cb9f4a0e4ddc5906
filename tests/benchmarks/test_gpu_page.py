from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.gpu.page import page
from benchmarks.gpu.shapes import SHAPES, Shape, card_named
from pipeline.plan.prices import GIB

PROJECT = Path(__file__).resolve().parents[2]
FIGURES = "benchmarks/gpu/figures.jsonl"

MACHINE = {
    "part": "machine",
    "card": "NVIDIA H200",
    "memory": 139 * GIB,
    "cuda": "13.0",
    "cores": 16,
    "day": "2026-11-26",
    "hone": "0.1.0",
    "versions": {"torch": "2.11.0"},
}


def sized(peak: float, **more: Any) -> dict[str, Any]:
    measured = {"weights": GIB, "after_step": 2 * GIB, "peak": int(peak * GIB), "reserved": 20 * GIB}
    return {
        "part": "sizes",
        "what": "Qwen/Qwen3-0.6B lora 8 x 1024",
        "model": "Qwen/Qwen3-0.6B",
        "shape": Shape("lora", 1024, 8).__dict__,
        "measured": measured,
        "tokens_per_second": 30_000.0,
        "step_seconds": 0.273,
        **more,
    }


def test_the_page_compares_with_the_plan_as_it_is() -> None:
    records = [json.loads(line) for line in (PROJECT / FIGURES).read_text(encoding="utf-8").splitlines()]
    command = f"python -m benchmarks.gpu_check --figures {FIGURES} --only-page --page docs/gpu.md"
    assert page(records) == (PROJECT / "docs" / "gpu.md").read_text(encoding="utf-8"), f"run {command}"


def test_what_was_measured_last_is_shown_beside_the_plan() -> None:
    text = page([MACHINE, sized(5.0), sized(17.01), sized(18.0, note="another card")])
    assert "| Qwen/Qwen3-0.6B | lora, 8 x 1024 | 1.00 | 1.00 | 17.01 | 17.86 | 0.95 | 20.00 | 22.43 |" in text
    assert "| lora, 8 x 1024 (another card) | 1.00 | 1.00 | 18.00 |" in text
    assert "5.00" not in text
    assert "| Qwen/Qwen3-0.6B | lora, 8 x 1024 | 273 | 30,000 |" in text
    assert "What failed" not in text


def test_a_failed_check_is_named_and_stands_in_no_table() -> None:
    failed = {"part": "agreement", "what": "losses full-float32", "error": "CheckError: no"}
    text = page([MACHINE, failed])
    assert "## What failed\n\n- agreement, losses full-float32: CheckError: no\n" in text
    assert "the losses of the CPU" not in text


@pytest.mark.parametrize(
    ("driver", "gib", "name"),
    [
        ("NVIDIA H200", 139.8, "H200"),
        ("NVIDIA H100 80GB HBM3", 79.2, "H100"),
        ("NVIDIA A100-SXM4-40GB", 39.4, "A100-40GB"),
        ("NVIDIA A100-SXM4-80GB", 79.2, "A100-80GB"),
        ("NVIDIA L40S", 44.5, "L40S"),
        ("NVIDIA L4", 22.0, "L4"),
        ("Tesla T4", 14.7, "T4"),
        ("NVIDIA RTX PRO 6000 Blackwell Server Edition", 95.0, "RTX-PRO-6000"),
        ("NVIDIA GeForce GTX 1080", 8.0, None),
    ],
)
def test_cards_are_known_by_their_drivers_names(driver: str, gib: float, name: str | None) -> None:
    found = card_named(driver, int(gib * GIB))
    assert (found.name if found is not None else None) == name


def test_every_measured_base_is_one_that_the_plan_knows() -> None:
    from pipeline.plan.known_models import KNOWN

    assert SHAPES.keys() <= KNOWN.keys()
