"""Facts that are known about public data sets, found again by the stage."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tests.data.support import Outcome, run_stage, write_rows

pytestmark = pytest.mark.real_data


@pytest.fixture(scope="module")
def banking(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    folder = real_data / "banking77" / "banking_data"
    return run_stage(
        tmp_path_factory.mktemp("banking"),
        folder / "train.csv",
        test=folder / "test.csv",
        deduplicate={"exact": False, "near_action": "keep", "threshold": 0.7},
        contradictions="keep",
        decontaminate="report",
        split={"validation": 0.0},
    )


def test_the_training_rows_of_25_test_rows_of_banking77_go(real_data: Path, tmp_path: Path) -> None:
    folder = real_data / "banking77" / "banking_data"
    outcome = run_stage(tmp_path, folder / "train.csv", test=folder / "test.csv", deduplicate={"near": False})
    assert {drop.reason: drop.count for drop in outcome.artifact.dropped}["contamination"] == 25
    assert outcome.artifact.leaked["test"] == 0
    assert outcome.artifact.rows["test"] == 3_080


def test_banking77_has_25_copied_and_256_near_test_rows(banking: Outcome) -> None:
    assert banking.artifact.rows == {"train": 10_003, "test": 3_080}
    assert banking.artifact.leaked == {"test": 25}
    assert banking.artifact.near_train_test_rows == 256
    assert banking.artifact.labels is not None
    assert len(banking.artifact.labels) == 77


def test_banking77_is_cleaned_and_split_in_a_few_cpu_seconds(real_data: Path, tmp_path: Path) -> None:
    path = real_data / "banking77" / "banking_data" / "train.csv"
    before = time.process_time()
    outcome = run_stage(tmp_path, path)
    assert time.process_time() - before < 10
    rows, dropped = outcome.artifact.rows, sum(drop.count for drop in outcome.artifact.dropped)
    assert sum(rows.values()) + dropped == 10_003
    assert abs(rows["test"] - 0.2 * sum(rows.values())) <= 2
    assert outcome.artifact.leaked["test"] + outcome.artifact.near_train_test_rows == 0


def test_clinc150_has_22_test_rows_in_train_or_validation(real_data: Path, tmp_path: Path) -> None:
    clinc = json.loads((real_data / "clinc150" / "data" / "data_full.json").read_text())
    parts = {"train": clinc["train"] + clinc["val"], "test": clinc["test"]}
    for name, rows in parts.items():
        write_rows(tmp_path / f"{name}.jsonl", [{"text": text, "label": label} for text, label in rows])
    outcome = run_stage(
        tmp_path,
        tmp_path / "train.jsonl",
        test=tmp_path / "test.jsonl",
        split={"validation": 0.0},
        contradictions="keep",
        decontaminate="report",
        deduplicate={"exact": False, "near_action": "keep"},
    )
    assert outcome.artifact.rows == {"train": 18_000, "test": 4_500}
    assert outcome.artifact.leaked == {"test": 22}


def test_gsm8k_test_is_apart_from_train(real_data: Path, tmp_path: Path) -> None:
    folder = real_data / "gsm8k" / "grade_school_math" / "data"
    outcome = run_stage(tmp_path, folder / "train.jsonl", test=folder / "test.jsonl", split={"validation": 0.0})
    assert outcome.artifact.leaked == {"test": 0}
    assert outcome.artifact.rows["test"] == 1_319


def test_preference_pairs_are_read(real_data: Path, tmp_path: Path) -> None:
    outcome = run_stage(tmp_path, real_data / "gsm8k_pref" / "pairs.jsonl", deduplicate={"near": False})
    assert outcome.artifact.kind == "preference"
    assert sum(outcome.artifact.rows.values()) + sum(drop.count for drop in outcome.artifact.dropped) == 2_429


def test_a_snips_file_that_is_not_utf8_reads(real_data: Path) -> None:
    """Java wrote an emoji of train_PlayMusic_full.json as two surrogates (CESU-8), which strict UTF-8 refuses."""
    from pipeline.core.context import CallContext
    from pipeline.data.rows import SourceRow
    from pipeline.data.sources import open_source
    from schemas.base import Reference

    folder = real_data / "snips_nlu" / "2017-06-custom-intent-engines" / "PlayMusic"
    path = folder / "train_PlayMusic_full.json"
    with pytest.raises(UnicodeDecodeError):
        path.read_text("utf-8")
    source = open_source(Reference(location=str(path)), "train", CallContext())
    rows = [row for row in source.rows if isinstance(row, SourceRow)]
    assert source.encoding == "cesu-8"
    texts = ["".join(part["text"] for part in row.values["data"]) for row in rows]
    assert len(texts) == 2_000
    assert any("\U0001f355" in text for text in texts)
