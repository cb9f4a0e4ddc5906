"""A local task of lm-evaluation-harness with its data files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

LABELS = ("refund", "login", "delivery")
TEXTS = ("I want my money back", "I cannot log in", "where is my parcel", "the app refuses my password")
TASK: dict[str, Any] = {
    "task": "support",
    "dataset_path": "json",
    "dataset_kwargs": {"data_files": {"train": "shots.jsonl", "test": "items.jsonl"}},
    "output_type": "multiple_choice",
    "fewshot_split": "train",
    "test_split": "test",
    "doc_to_text": "{{ text }}\nlabel:",
    "doc_to_choice": "{{ choices }}",
    "doc_to_target": "{{ label }}",
    "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}, {"metric": "acc_norm"}],
}


def write_task(folder: Path, **changes: Any) -> Path:
    """Write a multiple-choice task of 24 documents and 6 examples; a change of None removes its key."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, repeat in (("shots", 6), ("items", 24)):
        rows = [
            {"text": f"{TEXTS[number % 4]} {number}", "choices": list(LABELS), "label": number % 3}
            for number in range(repeat)
        ]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    path = folder / "support.yaml"
    kept = {key: value for key, value in {**TASK, **changes}.items() if value is not None}
    path.write_text(yaml.safe_dump(kept).replace("'!code ", "!function ").replace("code'", "code"))
    return path
