"""What the stage reports about the demo's data is what the demo planted there."""

from __future__ import annotations

from collections import Counter

import pytest

from local_runner.demo.files import DemoFiles, read_planted, write_demo_data
from local_runner.demo.flaws import Planted
from local_runner.demo.triage import SYSTEM_PROMPT
from tests.data.support import Outcome, run_stage

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=[0, 1])
def demo(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[DemoFiles, Planted, Outcome]:
    folder = tmp_path_factory.mktemp("demo")
    files = write_demo_data(folder / "data", rows=1000, test_rows=150, seed=request.param)
    outcome = run_stage(
        folder,
        files.triage,
        test=files.triage_test,
        columns={"prompt": "message", "completion": "triage"},
        system=SYSTEM_PROMPT,
        bad_rows={"action": "drop"},
    )
    return files, read_planted(files.planted), outcome


def rows_dropped(outcome: Outcome, reason: str) -> set[int]:
    return {entry["row"] for entry in outcome.dropped if entry["reason"] == reason}


def test_each_removed_row_was_planted_and_each_planted_row_is_removed(
    demo: tuple[DemoFiles, Planted, Outcome],
) -> None:
    _, planted, outcome = demo
    assert rows_dropped(outcome, "bad_row") == {planted.malformed}
    assert rows_dropped(outcome, "contradiction") == {
        line for pair in planted.contradictions for line in (pair.first, pair.second)
    }
    for reason, pairs in (("exact_duplicate", planted.exact_duplicates), ("near_duplicate", planted.near_duplicates)):
        removed = {(entry["copy_of"], entry["row"]) for entry in outcome.dropped if entry["reason"] == reason}
        assert removed == {(min(pair.first, pair.second), max(pair.first, pair.second)) for pair in pairs}
    assert sum(outcome.artifact.rows.values()) + len(outcome.dropped) == outcome.artifact.read == 1150


def test_personal_data_is_found_where_it_was_planted(demo: tuple[DemoFiles, Planted, Outcome]) -> None:
    _, planted, outcome = demo
    assert outcome.artifact.personal_data == Counter(item.kind for item in planted.personal_data)
    text = "".join((outcome.folder / path).read_text() for path in outcome.artifact.files.values())
    assert not any(item.value in text for item in planted.personal_data)
    by_row = {row.row: row for split in ("train", "validation") for row in outcome.examples(split)}
    for item in planted.personal_data:
        assert f"[{item.kind.upper()}]" in by_row[item.line].messages[1].content


def test_leaked_rows_are_not_trained_and_near_ones_are_marked(demo: tuple[DemoFiles, Planted, Outcome]) -> None:
    """A near-duplicate is marked while its first row is trained on; rows of the validation split teach nothing."""
    _, planted, outcome = demo
    trained = {row.row for row in outcome.examples("train")}
    near = {pair.second for pair in planted.near_leaks if pair.first in trained}
    assert rows_dropped(outcome, "contamination") == {pair.first for pair in planted.exact_leaks}
    assert outcome.artifact.leaked == {"validation": 0, "test": 0}
    assert {row.row for row in outcome.examples("test") if row.near_train} == near
    assert len(outcome.examples("test")) == 150
