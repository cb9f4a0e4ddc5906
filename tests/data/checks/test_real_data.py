"""On real data sets the preflight finds what is known of them, and nothing else."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from schemas.base import Reference
from schemas.faults import FaultCode
from schemas.preflight import Finding, PreflightConfig
from schemas.render import RenderConfig
from tests.data.checks.planted import write_tokenizers
from tests.data.support import run_stage, write_rows

pytestmark = pytest.mark.real_data

KEEP = {
    "deduplicate": {"exact": False, "near_action": "keep", "threshold": 0.7},
    "contradictions": "keep",
    "decontaminate": "report",
    "split": {"validation": 0.0},
}

REPEATED = {
    *("exact_duplicate", "near_duplicate", "disagreeing_near_duplicates"),
    *("test_copies_training", "test_near_training"),
}
"""What is found where rows repeat each other, and nothing is removed."""


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    return write_tokenizers(tmp_path_factory.mktemp("tokenizers"))["plain"]


def found(
    folder: Path,
    tokenizer: Reference,
    train: Path,
    test: Path | None,
    benchmarks: tuple[Path, ...] = (),
    **options: Any,
) -> dict[FaultCode, Finding]:
    """Return what was found, having seen that it took at most 10 CPU seconds for 1,000 rows."""
    render = RenderConfig(tokenizer=tokenizer, max_length=20_000)
    files = tuple(Reference(location=str(path)) for path in benchmarks)
    preflight = PreflightConfig(languages=("en",), benchmarks=files)
    before = time.process_time()
    outcome = run_stage(folder, train, test=test, render=render, preflight=preflight, **options)
    assert time.process_time() - before < 10 * max(1.0, outcome.artifact.read / 1000)
    return {one.code: one for one in outcome.artifact.findings}


def test_banking77(real_data: Path, tmp_path: Path, tokenizer: Reference) -> None:
    folder = real_data / "banking77" / "banking_data"
    seen = found(tmp_path, tokenizer, folder / "train.csv", folder / "test.csv", **KEEP)
    assert seen.keys() == REPEATED
    assert all(one.severity == "warning" and not one.ignored for one in seen.values())
    # 256 test rows are near a training row, 25 of which are copies
    assert (seen["test_copies_training"].count, seen["test_near_training"].count) == (25, 231)


def test_clinc150(real_data: Path, tmp_path: Path, tokenizer: Reference) -> None:
    clinc = json.loads((real_data / "clinc150" / "data" / "data_full.json").read_text())
    parts = {"train": clinc["train"] + clinc["val"], "test": clinc["test"]}
    train, test = (
        write_rows(tmp_path / f"{name}.jsonl", [{"text": text, "label": label} for text, label in rows])
        for name, rows in parts.items()
    )
    seen = found(tmp_path, tokenizer, train, test, **KEEP)
    assert seen.keys() == {*REPEATED, "contradiction"}
    assert seen["test_copies_training"].count == 22
    assert all(one.severity == "warning" for one in seen.values())


def test_gsm8k(real_data: Path, tmp_path: Path, tokenizer: Reference) -> None:
    folder = real_data / "gsm8k" / "grade_school_math" / "data"
    train, test = folder / "train.jsonl", folder / "test.jsonl"
    seen = found(tmp_path, tokenizer, train, test, (test,), split={"validation": 0.0})
    assert seen.keys() == {"benchmark_in_test", "disagreeing_near_duplicates"}
    assert seen["benchmark_in_test"].count == 1319  # every row of the test, and none of training


def test_preferences_of_gsm8k(real_data: Path, tmp_path: Path, tokenizer: Reference) -> None:
    """Several pairs share a prompt, which is no contradiction; the better answer is not always the longer one."""
    seen = found(tmp_path, tokenizer, real_data / "gsm8k_pref" / "pairs.jsonl", None)
    assert seen.keys() == {"exact_duplicate", "near_duplicate"}
