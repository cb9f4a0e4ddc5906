"""Run folders in the shape that crfm-helm 0.5.16 writes (``helm.benchmark.runner.Runner.run_one``)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

MODEL = "hone/triage-v1"


def stat(name: str, mean: float | None, *, count: int = 1, **context: Any) -> dict[str, Any]:
    """Return one aggregated stat as ``asdict_without_nones(Stat)`` gives it: without what is None."""
    named = {"name": name, "split": "test", **context}
    if mean is None or count == 0:
        return {"name": named, "count": 0, "sum": 0, "sum_squared": 0}
    total, squared = mean * count, mean * mean * count
    spread = {"min": mean, "max": mean, "mean": mean, "variance": 0, "stddev": 0.0}
    return {"name": named, "count": count, "sum": total, "sum_squared": squared, **spread}


def stats(exact: float = 0.75, instances: int = 8) -> list[dict[str, Any]]:
    """Return the stats of a run: two metrics, their bookkeeping, and the contexts that are no whole split."""
    robust = {"name": "robustness", "robustness": True, "fairness": False, "computed_on": "worst"}
    return [
        stat("num_instances", float(instances)),
        stat("num_references", 4.0),
        stat("exact_match", exact),
        stat("exact_match", 0.25, perturbation=robust),
        stat("quasi_exact_match", 0.875),
        stat("inference_runtime", 0.31),
        stat("finish_reason_stop", 1.0),
        stat("ece_10_bin", None),
        stat("exact_match", 0.1, split="train"),
        stat("exact_match", 0.5, sub_split="toxic"),
    ]


def write_run(folder: Path, name: str = "mmlu:subject=anatomy", *, model: str = MODEL, **kept: Any) -> Path:
    """Write one run folder, named as HELM names it; ``kept`` are `stats`' arguments."""
    run_name = f"{name},method=multiple_choice_joint,model={model.replace('/', '_')}"
    spec = {
        "name": run_name,
        "scenario_spec": {
            "class_name": "helm.benchmark.scenarios.mmlu_scenario.MMLUScenario",
            "args": {"subject": "anatomy"},
        },
        "adapter_spec": {
            "method": "multiple_choice_joint",
            "max_train_instances": 5,
            "max_eval_instances": 8,
            "num_outputs": 5,
            "num_train_trials": 1,
            "num_trials": 1,
            "model_deployment": model,
            "model": model,
            "temperature": 0.0,
            "max_tokens": 5,
        },
        "metric_specs": [{"class_name": "helm.benchmark.metrics.basic_metrics.BasicGenerationMetric", "args": {}}],
        "data_augmenter_spec": {"perturbation_specs": [], "seeds_per_instance": 1},
        "groups": ["mmlu"],
    }
    scenario = {"name": "mmlu", "description": "Massive Multitask Language Understanding", "tags": ["knowledge"]}
    path = folder / run_name
    path.mkdir(parents=True)
    for file, value in (("run_spec.json", spec), ("scenario.json", scenario), ("stats.json", stats(**kept))):
        (path / file).write_text(json.dumps(value, indent=2), encoding="utf-8")
    return path
