"""A plan where only the client's packages are installed: no transformers, Hub library, scipy, numpy or pyarrow."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline.plan.power import estimate_power

HEAVY = [
    *("accelerate", "datasets", "huggingface_hub", "mlflow", "numpy", "pandas", "peft", "pyarrow", "safetensors"),
    *("scipy", "sklearn", "tokenizers", "torch", "transformers", "trl"),
]

CODE = f"""
import json, sys
for name in {HEAVY!r}:
    sys.modules[name] = None  # importing it raises, and it cannot be found
from pathlib import Path
from pipeline.core.context import CallContext
from pipeline.core.errors import HoneError
from pipeline.core.workspace import Store
from pipeline.core.spec import validate_spec
from pipeline.execute import execute
from pipeline.flow import next_calls
from pipeline.resolve import Resolver
folder = Path(sys.argv[1])
store = Store(folder / "workspace")
resolver = Resolver(
    folder=folder, store=store, registry=None, runs=None, embedded={{"hone:tiny": Path(sys.argv[2])}}, for_plan=True
)
try:
    run = resolver.resolve(validate_spec(json.loads(sys.argv[3]), "spec"))
except HoneError as error:
    print(json.dumps({{"error": str(error)}}))
    sys.exit()
(call,) = next_calls(run, {{}})
result = execute(call, store.root, CallContext(call_id=call.id))
if result.error is not None:
    print(json.dumps({{"error": f"{{result.error.message}} ({{result.error.fix}})"}}))
else:
    print((store.directory(result.ref) / "plan.json").read_text())
"""

TINY = Path(__file__).resolve().parents[2] / "pipeline" / "embedded" / "tiny_base"


def planned(folder: Path, **spec: Any) -> dict[str, Any]:
    rows = [{"text": f"please refund order number {number}", "label": "refund"} for number in range(400)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    values = {
        "name": "run",
        "task": "classification",
        "base_model": "Qwen/Qwen3-0.6B",
        "data": {"path": "rows.jsonl"},
        "evaluate": {"target": {"accuracy": 0.8}},
        **spec,
    }
    arguments = [sys.executable, "-c", CODE, str(folder), str(TINY), json.dumps(values)]
    found = subprocess.run(arguments, capture_output=True, text=True, check=True)
    answer: dict[str, Any] = json.loads(found.stdout)
    return answer


def _safetensors(folder: Path) -> dict[str, Any]:
    raw = (folder / "model.safetensors").read_bytes()
    header: dict[str, Any] = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
    return header


@pytest.mark.slow
def test_a_known_base_of_the_hub_is_planned_from_the_table(tmp_path: Path) -> None:
    plan = planned(tmp_path)
    assert plan["parameters"] == 596_049_920
    assert plan["profile"]["tokens_by"] == "estimate"
    assert plan["recommended_gpu"]
    assert plan["inference"]["form_bytes"]["base"] == 2 * 596_049_920
    said = " ".join(plan["warnings"])
    assert "the commit of Qwen/Qwen3-0.6B is not resolved" in said
    assert "the sizes of Qwen/Qwen3-0.6B are those of" in said
    assert plan["power"]["exact"] is False
    assert any("scipy is not installed" in assumption for assumption in plan["assumptions"])


def test_a_folder_is_planned_from_its_config(tmp_path: Path) -> None:
    plan = planned(tmp_path, base_model="hone:tiny")
    assert plan["parameters"] == sum(
        math.prod(entry["shape"]) for name, entry in _safetensors(TINY).items() if name != "__metadata__"
    )
    assert any("a tokenizer needs transformers, which is not installed here" in text for text in plan["warnings"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"base_model": "nobody/nothing"}, "are not known here"),
        ({"data": {"path": "org/rows"}}, "the Hub cannot be reached"),
        ({"data": {"path": "rows.parquet"}}, "a .parquet file needs pyarrow, which is not installed here"),
        (
            {"base_model": {"init": {}}, "train": {"adapter": "full"}},
            "a base without weights needs transformers, which is not installed here",
        ),
    ],
)
def test_what_cannot_be_planned_so_is_said(tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    (tmp_path / "rows.parquet").write_bytes(b"PAR1")
    assert says in planned(tmp_path, **changes)["error"]


@pytest.mark.parametrize(("rows", "baseline"), [(100, 0.62), (500, 0.5), (4000, 0.8)])
def test_the_approximation_is_near_the_exact_power(monkeypatch: pytest.MonkeyPatch, rows: int, baseline: float) -> None:
    exact = estimate_power(rows, alpha=0.05, power=0.8, target=baseline + 0.05, baseline=baseline)
    monkeypatch.setattr("pipeline.plan.power.find_spec", lambda _: None)
    about = estimate_power(rows, alpha=0.05, power=0.8, target=baseline + 0.05, baseline=baseline)
    assert (exact.exact, about.exact) == (True, False)
    assert exact.minimum_detectable_gain is not None and exact.rows_for_target is not None
    # The exact test is conservative: its true level is below alpha, so it needs more.
    assert about.minimum_detectable_gain == pytest.approx(exact.minimum_detectable_gain, rel=0.12)
    assert about.minimum_detectable_gain <= exact.minimum_detectable_gain
    assert about.rows_for_target == pytest.approx(exact.rows_for_target, rel=0.12)
    assert estimate_power(2, alpha=0.05, power=0.8, target=None).minimum_detectable_gain is None
