"""A plan as people read it, and where its stages would run."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

from rich.console import Console

from pipeline.control.places import places_of
from pipeline.control.plan_text import show_plan
from pipeline.core.spec import read_spec
from schemas.base import Device
from schemas.plan import PlanArtifact
from schemas.run import RunSpec
from tests.plan.test_placement import LARGE, LLAMA, W4A16, plan

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def described(*overrides: str) -> RunSpec:
    """Return the 8B example: three examples in a baseline's prompt, rows of its plan below."""
    return read_spec(
        EXAMPLES / "llama-3.1-8b-lora.yaml", ["variants=[merged, w4a16]", "serve.variant=w4a16", *overrides]
    )


def shown(made: PlanArtifact, spec: RunSpec, device: Device = "cuda") -> list[str]:
    out = io.StringIO()
    show_plan(made, spec, Console(file=out, width=140), device)
    return [" ".join(line.split()) for line in out.getvalue().splitlines()]


def test_where_each_stage_runs_is_a_short_table() -> None:
    lines = shown(plan(LLAMA, variants=W4A16, served="w4a16"), described())
    first = lines.index("stage GPU cores GiB timeout in hours dollars an hour")
    assert lines[first - 1] == "on Modal, where each stage takes most"
    # Four cores and 32 GiB beside a GPU are 3600 * (4 * 0.0000131 + 32 * 0.00000222) = 0.44 dollars an hour. H100, as
    # the description asks: 3.95 more; the quantizer and its fallbacks: 2.50 of the dearest, an A100-80GB; 128 rows with
    # three examples, 128 * (4 * 512 + 16) * 131,072 bytes = 34.6e9 beside 16.1e9, take 80 GB, or an H200 at 4.54; FP8
    # or four bits fit on an L4, or an A10 at 1.10. Merging: eight cores and 54 GiB, 0.38 and 0.43.
    assert lines[first + 1 : first + 8] == [
        "plan 2 4 1 0.13",
        "data 4 9 6 0.26",
        "train H100, A100-80GB 4 32 24 4.39",
        "evaluate A100-80GB, H100, H200 4 32 12 4.98",
        "optimize L40S, A100-40GB, A100-80GB 4 32 12 2.94",
        "serve L4, A10 4 32 2 1.55",
        "register 2 4 1 0.13",
    ]


def test_a_cluster_is_shown_with_its_containers() -> None:
    made = plan(LLAMA, variants=W4A16, served="w4a16")
    lines = shown(made, described("hardware.train={gpu: H100:8, nodes: 2}"))
    (train,) = [line for line in lines if line.startswith("train ")]
    # 2 * (8 * 3.9492 + 32 cores at 0.04716 + 256 GiB at 0.007992) = 2 * 35.15 dollars an hour.
    assert train == "train 2 x H100:8 32 256 24 70.30"


def test_what_may_not_go_well_is_a_warning() -> None:
    made = plan(LLAMA, variants=W4A16, served="w4a16")
    lines = shown(made, described("hardware.evaluate=T4"))
    (warning,) = [line for line in lines if line.startswith("!")]
    assert warning.startswith("! hardware.evaluate T4: 17 GiB on each, without any cache, are more than 90% of 15 GiB")
    assert "!" not in " ".join(shown(made, described("hardware.evaluate=T4"), "cpu"))
    large = shown(plan(LARGE, variants=W4A16, served="w4a16", adapter="qlora"), described())
    assert any(line.startswith("! variants are made of the merged model") for line in large)


def test_stages_that_a_run_has_not_are_left_out() -> None:
    made = plan(LLAMA, variants=W4A16, served="w4a16")
    spec = read_spec(EXAMPLES / "llama-3.1-8b-lora.yaml", ["serve=false", "variants=[]"])
    assert list(places_of(made, spec, "cuda").stages) == ["plan", "data", "train", "evaluate", "register"]


def test_without_gpus_every_stage_runs_on_a_cpu() -> None:
    made = plan(LLAMA, variants=W4A16, served="w4a16")
    assert all(place.gpu is None for place in places_of(made, described(), "cpu").stages.values())


def test_where_nothing_holds_the_model_that_is_said_and_the_plan_is_shown() -> None:
    made = plan(LLAMA, variants=W4A16, served="w4a16")
    assert made.inference is not None
    huge = made.model_copy(update={"inference": made.inference.model_copy(update={"form_bytes": {"base": 2 * 10**12}})})
    lines = shown(huge, described())
    assert any(line.startswith("decisions") for line in lines)
    assert not any(line.startswith("on Modal") for line in lines)
    assert any(line.startswith("! hardware.evaluate: no GPU type holds what is needed here") for line in lines)


def test_programs_are_told_the_same() -> None:
    made = plan(LLAMA, variants=W4A16, served="w4a16")
    told: dict[str, Any] = json.loads(json.dumps(places_of(made, described("hardware.evaluate=T4"), "cuda").as_json()))
    assert told["placements"]["train"]["gpu"] == "H100"
    assert told["placements"]["train"]["fallbacks"] == ["A100-80GB"]
    assert told["placements"]["serve"]["timeout"] == 7200
    assert len(told["doubts"]) == 1


def test_what_the_whole_gate_makes_of_the_test_rows() -> None:
    made = plan(LLAMA, variants=W4A16, served="w4a16", test_rows=500)
    assert made.power.gate is not None and made.power.gate.least_score is not None
    (line,) = [line for line in shown(made, described()) if line.startswith("the whole gate")]
    least = f"{made.power.gate.least_score:.1%}"
    assert line.endswith(f"over a baseline of 50.0%, promotes a model whose true score is {least} in 80% of runs")
    none = plan(LLAMA, variants=W4A16, served="w4a16", test_rows=3)
    assert "the whole gate promotes no model with 80% power on so few rows" in shown(none, described())
