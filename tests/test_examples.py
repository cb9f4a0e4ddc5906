"""Every shipped description is valid, reads rows as it says, and plans on GPUs that are to be had."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from examples.smoke.make_rows import rows as smoke_rows
from pipeline.core.context import CallContext
from pipeline.core.spec import read_spec
from pipeline.core.workspace import Store
from pipeline.execute import execute, load
from pipeline.flow import next_calls
from pipeline.plan.doubts import doubts
from pipeline.plan.placement import stage_placements
from pipeline.resolve import Resolver, data_options
from schemas.artifacts import StageCall
from schemas.data import DataArtifact, DataConfig
from schemas.placement import MOST_MEMORY, Placement, split_gpu
from schemas.plan import PlanArtifact
from schemas.resolved import ResolvedRun
from schemas.run import RunSpec

PROJECT = Path(__file__).resolve().parent.parent
EXAMPLES = sorted((PROJECT / "examples").glob("*.yaml"))
EMBEDDED = {"hone:tiny": PROJECT / "pipeline" / "embedded" / "tiny_base"}
ROWS = 600

GPUS: dict[str, dict[str, str]] = {
    "banking77-qwen3": {"train": "T4", "evaluate": "L4", "optimize": "L4", "serve": "L4"},
    "banking77-qwen3-full": {"evaluate": "L4", "serve": "L4"},
    "qwen3-8b-qlora": {"serve": "L4"},
    "llama-3.1-8b-lora": {"train": "H100", "serve": "L4"},
    "qwen3-32b-lora": {"train": "A100-80GB", "evaluate": "A100-80GB", "optimize": "A100-80GB", "serve": "L40S"},
    "llama-3.3-70b-qlora": {"train": "H100:4", "evaluate": "B200", "serve": "B200"},
}
"""First choices where they follow from the model rather than from the rows."""

BESIDE: dict[str, dict[str, Any]] = {
    "mteb/banking77": {"label": 3},
    "databricks/databricks-dolly-15k": {"context": "", "response": "So it is."},
}
"""Further columns of the data sets that are named."""


def rows_of(spec: RunSpec) -> list[dict[str, Any]]:
    """Return rows in the columns that a description names: no two are alike."""
    columns = spec.data.columns
    records = [{"name": f"customer {number}", "amount": 7 * number} for number in range(ROWS)]
    texts = [f"{word} {7919 * n % 10007} {word[::-1]} {n} what now" for n, word in enumerate(_words())]
    if spec.train.method == "dpo":
        wrong = [{**record, "amount": -1} for record in records]
        pairs = zip(texts, records, wrong, strict=True)
        return [{"prompt": t, "chosen": json.dumps(r), "rejected": json.dumps(w)} for t, r, w in pairs]
    if spec.task == "classification":
        text, label, others = columns.text or "text", columns.label or "label", BESIDE.get(spec.data.path, {})
        return [{text: words, **others, label: f"label {number % 7}"} for number, words in enumerate(texts)]
    return [{"prompt": text, "completion": json.dumps(r)} for text, r in zip(texts, records, strict=True)]


def _words() -> list[str]:
    letters = "abcdefghijklmnopqrstuvwxyz"
    return ["".join(letters[(n * step + 3 * step) % 26] for step in (1, 5, 7, 11)) for n in range(ROWS)]


def local(path: Path, folder: Path) -> RunSpec:
    """Return a description whose data are a small file in ``folder``, written as the description's own would be."""
    spec = read_spec(path)
    if (path.parent / spec.data.path).exists():
        return read_spec(path, [f"data.{key}={path.parent / getattr(spec.data, key)}" for key in ("path", "test_path")])
    name = spec.data.path if Path(spec.data.path).suffix else "rows.jsonl"
    rows = rows_of(spec)
    for role in ("", "test_"):
        with (folder / f"{role}{name}").open("w", encoding="utf-8", newline="") as stream:
            if name.endswith(".csv"):
                writer = csv.DictWriter(stream, rows[0])
                writer.writeheader()
                writer.writerows(rows[: 100 if role else None])
            else:
                stream.writelines(json.dumps(row) + "\n" for row in rows[: 100 if role else None])
    changes = [f"data.path={folder / name}", "data.revision=null"]
    if spec.data.test_path is not None:
        changes.append(f"data.test_path={folder / f'test_{name}'}")
    return read_spec(path, changes)


def resolved(spec: RunSpec, folder: Path) -> ResolvedRun:
    """Resolve as `hone plan` does, without a network."""
    resolver = Resolver(
        folder=folder,
        store=Store(folder / "workspace"),
        registry=lambda: pytest.fail("no version is named"),
        runs=None,  # type: ignore[arg-type]
        embedded=EMBEDDED,
        for_plan=True,
    )
    return resolver.resolve(spec)


def carried_out(call: StageCall, folder: Path) -> Any:
    result = execute(call, folder / "workspace", CallContext(call_id=call.id))
    assert result.ref is not None, result.error
    return load(Store(folder / "workspace"), result.ref).artifact


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_plans_on_gpus_that_are_to_be_had(path: Path, tmp_path: Path) -> None:
    spec = local(path, tmp_path)
    (call,) = next_calls(resolved(spec, tmp_path), {})
    plan: PlanArtifact = carried_out(call, tmp_path)
    assert plan.feasible, plan.warnings
    assert doubts(plan, spec.hardware) == []
    assert plan.servable_by_vllm
    found = stage_placements(spec, plan, "cuda")
    for stage, placement in found.items():
        check(placement)
        assert (placement.gpu is not None) == (stage in gpu_stages(spec)), stage
    for stage, gpu in GPUS.get(path.stem, {}).items():
        assert found[stage].gpu == gpu, stage  # type: ignore[index]
    cpu = stage_placements(spec, plan, "cpu")
    assert all(placement.gpu is None for placement in cpu.values())


def check(placement: Placement) -> None:
    for gpu in placement.gpus:
        split_gpu(gpu)
    assert 0 < placement.timeout <= 86_400
    assert 0 < placement.memory <= MOST_MEMORY
    assert 0 < placement.dollars_per_second < 0.02


def gpu_stages(spec: RunSpec) -> set[str]:
    quantized = any(variant.backend != "merge" for variant in spec.variants)
    return {"train", "evaluate", "bias", "serve", *(["optimize"] if quantized else [])}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_reads_its_rows(path: Path, tmp_path: Path) -> None:
    spec = local(path, tmp_path)
    run = resolved(spec, tmp_path)
    config = DataConfig(files=run.data, options=data_options(spec.data))
    call = StageCall(id="data", stage="data", config=config.model_dump(mode="json"))
    made: DataArtifact = carried_out(call, tmp_path)
    assert made.kind == ("preference" if spec.train.method == "dpo" else "conversation")
    assert (made.labels is not None) == (spec.task == "classification")
    assert all(made.rows[split] > 10 for split in ("train", "validation", "test")), made
    assert sum(drop.count for drop in made.dropped) < ROWS / 5


def test_the_smoke_rows_are_those_that_their_script_makes() -> None:
    for name, made in smoke_rows().items():
        text = (PROJECT / "examples" / "smoke" / name).read_text(encoding="utf-8")
        assert [json.loads(line) for line in text.splitlines()] == made


@pytest.mark.slow
def test_the_smoke_run_comes_to_its_end_and_learns(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "local_runner.main", "run", str(PROJECT / "examples" / "smoke.yaml"), "--json"]
    command += ["--workspace", str(tmp_path / "workspace"), "--set", "serve=false"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=PROJECT)
    assert done.returncode == 10, done.stderr  # not served, so its gate refuses it
    (register,) = (tmp_path / "workspace" / "artifacts" / "register").iterdir()
    decision = json.loads((register / "manifest.json").read_text())["artifact"]["decision"]
    assert decision["better_than_baseline"]
    assert len([condition for condition in decision["conditions"] if not condition["passed"]]) == 1


def test_the_examples_are_those_that_users_take() -> None:
    specs = [read_spec(path) for path in EXAMPLES]
    bases = " ".join(str(spec.base_model.name) for spec in specs)
    for family in (
        "Qwen3-0.6B",
        "Qwen3-8B",
        "Qwen3-32B",
        "Llama-3.1-8B",
        "Llama-3.3-70B",
        "gemma",
        "Mistral",
        "gpt-oss",
    ):
        assert family in bases
    assert {spec.train.adapter for spec in specs} == {"lora", "qlora", "full"}
    assert {spec.train.method for spec in specs} == {"sft", "dpo"}
    assert len({spec.name for spec in specs}) == len(specs)
    # No revision of a model is made up; what is pinned is a whole commit.
    for spec in specs:
        assert spec.base_model.revision is None
        assert spec.data.revision is None or len(spec.data.revision) == 40
