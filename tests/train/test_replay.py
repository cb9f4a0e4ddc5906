"""Replay: the share it takes, drawn evenly and by the seed."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.errors import ConfigError
from pipeline.train.replay import draw_replay, replay_count
from schemas.artifacts import Stored
from schemas.base_model import BaseModelRef
from schemas.data import DataArtifact
from tests.support.training import conversation, data_artifact, run_stage, train_config

ROWS = [conversation(number) for number in range(40)]


@given(st.integers(1, 10_000), st.floats(0.01, 0.9))
def test_share_is_of_all_rows(own: int, share: float) -> None:
    count = replay_count(own, share)
    assert abs(count - share * (own + count)) <= 0.5 + 1e-6


def test_tasks_give_alike_and_the_small_one_all_it_has() -> None:
    # A fifth of all beside 80 own rows is 20: the small task has 3, the other two give 9 and 8.
    tasks = {"small": ROWS[:3], "b": ROWS[3:20], "c": ROWS[20:]}
    drawn = draw_replay(tasks, own=80, share=0.2, seed=0)
    assert {name: len(rows) for name, rows in drawn.items()} == {"b": 9, "c": 8, "small": 3}
    for name, rows in drawn.items():
        assert len({row.id for row in rows}) == len(rows)
        assert all(row in tasks[name] for row in rows)
    assert drawn == draw_replay(tasks, own=80, share=0.2, seed=0)
    assert drawn != draw_replay(tasks, own=80, share=0.2, seed=1)


def test_too_few_rows_give_what_they_have() -> None:
    drawn = draw_replay({"a": ROWS[:2]}, own=100, share=0.5, seed=0)
    assert len(drawn["a"]) == 2


@pytest.mark.slow
def test_replayed_rows_are_trained_and_counted(tiny: BaseModelRef, rows: Stored[DataArtifact], tmp_path: Path) -> None:
    old = data_artifact(tmp_path / "old", [conversation(n, prefix="old: ") for n in range(20)])
    config = train_config(tiny, retention={"method": "replay", "share": 0.2})
    trained = run_stage(tmp_path / "work", config, rows, replay={"old": old})
    artifact = trained.artifact
    assert artifact.replay_rows == {"old": 6}  # 6 / (24 + 6) = 0.2
    assert artifact.rendered.kept == 24
    assert artifact.steps == 8  # 30 rows in batches of 4
    assert not [event for event in trained.events if event.kind == "warning"]


def test_too_few_replayed_rows_are_said(tiny: BaseModelRef, rows: Stored[DataArtifact], tmp_path: Path) -> None:
    old = data_artifact(tmp_path / "old", [conversation(n, prefix="old: ") for n in range(3)])
    config = train_config(tiny, retention={"method": "replay", "share": 0.2}, max_steps=1)
    trained = run_stage(tmp_path / "work", config, rows, replay={"old": old})
    assert trained.artifact.replay_rows == {"old": 3}
    warnings = [event.message for event in trained.events if event.kind == "warning"]
    assert warnings == ["the replayed tasks have 3 rows of the 6 that a share of 0.2 asks for"]


def test_replay_without_data_is_refused(tiny: BaseModelRef, rows: Stored[DataArtifact], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no rows of the base's own tasks") as caught:
        run_stage(tmp_path, train_config(tiny, retention={"method": "replay", "share": 0.2}), rows)
    assert caught.value.where == "train.retention"


def test_replay_in_dpo_is_refused(tiny: BaseModelRef, pairs: Stored[DataArtifact], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="method dpo cannot learn from"):
        run_stage(tmp_path, train_config(tiny, method="dpo", retention={"method": "replay", "share": 0.2}), pairs)
