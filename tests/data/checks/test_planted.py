"""Every class of faults is found where it is planted, in the rows where it is planted, and nowhere else."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from schemas.base import Reference
from schemas.faults import FAULTS, FaultCode
from tests.data.checks.planted import CLEAN, ENTAILED, PLANTED, Case, asks, run_case, write_tokenizers
from tests.data.support import sentence

SEEDS = (0, 1, 2)


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Reference]:
    return write_tokenizers(tmp_path_factory.mktemp("tokenizers"))


def test_every_class_is_planted_and_there_are_enough_clean_twins() -> None:
    assert set(PLANTED) == set(FAULTS)
    assert len(FAULTS) >= 24
    assert len(CLEAN) >= 12


@pytest.mark.slow
@pytest.mark.parametrize("code", FAULTS)
def test_a_planted_fault_is_found(code: FaultCode, tmp_path: Path, tokenizers: dict[str, Reference]) -> None:
    for seed in SEEDS:
        case = PLANTED[code](seed)
        (tmp_path / str(seed)).mkdir()
        outcome = run_case(case, tmp_path / str(seed), tokenizers)
        found = {one.code: one for one in outcome.artifact.findings}
        assert code in found, f"seed {seed}: found only {sorted(found)}"
        assert found.keys() <= {code, *ENTAILED.get(code, ())}, f"seed {seed}"
        if case.hit:
            assert found[code].rows == case.hit, f"seed {seed}"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("policy", "severity", "done", "kept"),
    [("drop", "warning", "left out", 0), ("truncate", "warning", "cut", 1), ("stop", "error", "", 0)],
)
def test_long_rows_are_counted_whatever_becomes_of_them(
    policy: str, severity: str, done: str, kept: int, tmp_path: Path, tokenizers: dict[str, Reference]
) -> None:
    long = {"prompt": sentence(900, 6), "completion": sentence(901, 26)}
    whole = {"split": {"test": 0.0, "validation": 0.0}}
    case = Case([*asks(), long], options=whole, render={"long_rows": policy}, max_length=120)
    outcome = run_case(case, tmp_path, tokenizers)
    found = next(one for one in outcome.artifact.findings if one.code == "rows_too_long")
    assert (found.severity, found.done, found.rows, found.count) == (severity, done, (61,), 1)
    assert outcome.artifact.preflight is not None
    assert outcome.artifact.preflight.kept == 60 + kept


@pytest.mark.slow
@pytest.mark.parametrize("name", CLEAN)
def test_a_clean_twin_raises_no_alarm(name: str, tmp_path: Path, tokenizers: dict[str, Reference]) -> None:
    assert run_case(CLEAN[name], tmp_path, tokenizers).artifact.findings == ()


@pytest.mark.slow
def test_a_thousand_rows_take_less_than_ten_cpu_seconds(tmp_path: Path, tokenizers: dict[str, Reference]) -> None:
    case = Case(
        asks(1000),
        test=asks(200, start=5000),
        benchmark=[{"question": row["prompt"]} for row in asks(200, start=9000)],
        preflight={"languages": ["en"]},
    )
    run_case(CLEAN["questions"], tmp_path, tokenizers)  # what is imported once is not counted
    before = time.process_time()
    outcome = run_case(case, tmp_path, tokenizers)
    assert time.process_time() - before < 10
    assert outcome.artifact.findings == ()
