"""A run ends where its data is refused: told once, with everything, and nothing is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.control.refusal import refusal
from pipeline.report.record import RunRecord
from schemas.data import DataArtifact
from schemas.preflight import Finding
from schemas.resolved import ResolvedRun
from tests.support.run_fixture import RunFixture

JOINED = Finding(code="joined_prompt", severity="error", split="train", count=1, rows=(4,))
BAD = Finding(code="unusable_row", severity="error", split="train", count=1, rows=(9,), detail="row 9: not JSON")
COPY = Finding(code="exact_duplicate", severity="warning", split="train", count=1, rows=(2,), done="removed")
SPLITS = Finding(code="generation_markers_missing", severity="error", split="test", count=1, rows=(3,))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[ResolvedRun, DataArtifact]:
    root = tmp_path_factory.mktemp("refused")
    fixture = RunFixture(root)
    record = RunRecord.load(root, fixture.build())
    assert record.data is not None
    return fixture.resolved(), record.data.artifact


def refused(made: tuple[ResolvedRun, DataArtifact], *findings: Finding) -> Any:
    run, artifact = made
    return refusal(artifact.model_copy(update={"findings": findings}), run)


def test_warnings_and_what_is_ignored_refuse_nothing(made: tuple[ResolvedRun, DataArtifact]) -> None:
    assert refused(made) is None
    assert refused(made, COPY, JOINED.model_copy(update={"ignored": True})) is None
    assert refusal(object(), made[0]) is None


def test_an_error_names_file_rows_and_what_to_do(made: tuple[ResolvedRun, DataArtifact]) -> None:
    error = refused(made, COPY, JOINED)
    assert "1 fault that training must not go on with: joined_prompt: a token joins the prompt" in error.message
    assert "(train, row 4)" in error.message
    assert error.where == made[0].data.train.location
    assert error.fix.endswith("or name it in preflight.ignore")
    assert error.detail.splitlines()[0].startswith("error: joined_prompt")
    assert (
        error.detail.splitlines()[1]
        == "warning: exact_duplicate: rows are copies of earlier ones (train, row 2); removed"
    )


def test_the_worst_fault_comes_first_and_only_three_are_told(made: tuple[ResolvedRun, DataArtifact]) -> None:
    error = refused(made, BAD, JOINED, SPLITS, JOINED.model_copy(update={"split": "test"}))
    assert error.message.index("generation_markers_missing") < error.message.index("joined_prompt")
    assert error.message.endswith("; and 1 more")
    assert "preflight.ignore" not in error.fix


def test_what_a_policy_stops_names_the_policy(made: tuple[ResolvedRun, DataArtifact]) -> None:
    assert refused(made, BAD).fix == "correct them, or change data.bad_rows.action"


def test_a_held_out_row_is_named_with_its_own_file(made: tuple[ResolvedRun, DataArtifact]) -> None:
    run, artifact = made
    test = run.data.train.model_copy(update={"location": str(Path("/rows/test.jsonl"))})
    own = run.model_copy(update={"data": run.data.model_copy(update={"test": test})})
    error = refusal(artifact.model_copy(update={"findings": (SPLITS,)}), own)
    assert error is not None and error.where == "/rows/test.jsonl"


def test_a_fault_that_is_not_of_rows_is_at_its_key(made: tuple[ResolvedRun, DataArtifact]) -> None:
    assert refused(made, Finding(code="adapter_not_servable", severity="error")).where == "train.lora"
    assert refused(made, Finding(code="vocabulary_too_small", severity="error")).where == "base_model"
    assert refused(made, Finding(code="no_row_left", severity="error")).where == made[0].data.train.location
