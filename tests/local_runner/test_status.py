"""How a run stands, from its record, its events and its leases; and the message that other agents read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from local_runner.acp import answer_file, training_status
from pipeline.control.runs import RunDirectory
from pipeline.control.status import RunStatus, run_status
from pipeline.core.errors import SourceError
from pipeline.core.workspace import Store
from schemas.base import ArtifactRef
from schemas.events import Event, EventKind
from tests.local_runner.conftest import Hone
from tests.support.run_fixture import RunFixture

CALL = "train.seed-0"
REF = ArtifactRef(stage="train", fingerprint="e" * 64)


class Case:
    """A run that has come as far as the call before training."""

    def __init__(
        self, root: Path, until: str = "evaluate.retention-commands-before", failed: str | None = None
    ) -> None:
        self.root = root / ".hone"
        self.store = Store(self.root)
        self.directory = RunDirectory(self.root / "runs" / RunFixture(self.root).build(until, failed))

    def tell(self, *events: tuple[float, EventKind, dict[str, Any]], message: str = "") -> None:
        write = self.directory.event_writer(CALL)
        for time, kind, data in events:
            write(Event(time=time, call_id=CALL, kind=kind, message=message, data=data))

    def begin(self) -> None:
        self.tell((1.0, "started", {"fingerprint": REF.fingerprint}), message=f"{CALL} -> {REF}")

    def status(self) -> RunStatus:
        return run_status(self.store, self.directory)

    def state(self) -> str:
        return next(call.state for call in self.status().calls if call.id == CALL)


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path)


def test_calls_come_in_order_and_those_ahead_wait(case: Case) -> None:
    status = case.status()
    states = {call.id: call.state for call in status.calls}
    assert (states["plan"], states["data"], states[CALL], states["register"]) == (
        "finished",
        "finished",
        "waiting",
        "waiting",
    )
    assert list(states).index("data") < list(states).index(CALL) < list(states).index("register")
    assert status.state == "waiting"


def test_a_call_is_running_while_its_lease_is_held_and_interrupted_after(case: Case) -> None:
    case.begin()
    with case.store.leases.hold(REF):
        assert case.state() == "running"
        assert case.status().state == "running"
    assert case.state() == "interrupted"
    assert case.status().state == "interrupted"


def test_a_finished_run_is_finished(tmp_path: Path) -> None:
    assert Case(tmp_path, until="register").status().state == "finished"


def test_a_finished_call_that_is_made_again_is_running(tmp_path: Path) -> None:
    case = Case(tmp_path, until="register")
    case.begin()
    with case.store.leases.hold(REF):
        assert case.state() == "running"
    assert case.state() == "finished"


def test_a_failed_call_says_why(tmp_path: Path, hone: Hone) -> None:
    case = Case(tmp_path, until=CALL, failed=CALL)
    case.begin()
    case.tell((2.0, "failed", {}))
    (call,) = [call for call in case.status().calls if call.id == CALL]
    assert (call.state, call.error) == ("failed", "row 7 is no JSON")
    assert case.status().state == "failed"
    assert "row 7 is no JSON" in hone("status", "-w", case.root).out


def test_the_last_words_of_a_call_are_shown(case: Case, hone: Hone) -> None:
    case.begin()
    case.tell(
        (2.0, "progress", {"label": "training [x]", "done": 3, "total": 12}),
        (3.0, "metric", {"step": 3, "epoch": 0.5, "loss": 1.25}),
        (3.5, "checkpoint", {"step": 3}),
        (4.0, "metric", {"step": 4, "loss": 1.125}),
    )
    with case.store.leases.hold(REF):
        (call,) = [call for call in case.status().calls if call.id == CALL]
        assert call.progress == ("training [x]", 3, 12)
        assert call.metrics == {"step": 4.0, "epoch": 0.5, "loss": 1.125}
        assert call.checkpoint_step == 3
        assert "training [x] 3/12, loss 1.125" in hone("status", "-w", case.root).out
        assert hone("status", "-w", case.root, "--json").json["state"] == "running"


def test_the_message_to_other_agents_has_the_seed_under_way(case: Case, hone: Hone) -> None:
    case.begin()
    case.tell(
        (2.0, "progress", {"label": "training", "done": 3, "total": 12}),
        (3.0, "metric", {"step": 3, "epoch": 0.5, "loss": 1.25}),
        (3.5, "checkpoint", {"step": 3}),
        (3.6, "checkpoint", {"step": 3}),
    )
    with case.store.leases.hold(REF):
        told = training_status(case.directory, case.status())
        assert hone("status", "--acp", "-w", case.root).json["hash"] == case.directory.run
    status = told.training_status
    assert (status.epoch, status.steps, status.metrics) == (0.5, 3, {"loss": 1.25})
    assert (status.checkpoints, status.state, status.gpu_hours) == (("step_3",), "running", 0.0)
    assert status.est_completion is not None
    assert told.hash == case.directory.run


def test_before_training_the_message_says_nothing_of_it(case: Case) -> None:
    status = training_status(case.directory, case.status()).training_status
    assert (status.epoch, status.steps, dict(status.metrics), status.checkpoints) == (0.0, 0, {}, ())
    assert status.est_completion is None


def test_a_message_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"none\.json"):
        answer_file(tmp_path / "none.json")
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe")
    with pytest.raises(SourceError, match=r"binary\.json"):
        answer_file(tmp_path / "binary.json")


def test_the_bar_of_a_finished_call_is_over(tmp_path: Path, hone: Hone) -> None:
    case = Case(tmp_path, until="register")
    case.begin()
    case.tell((2.0, "progress", {"label": "planning", "done": 1, "total": 3}), (3.0, "finished", {}))
    status = hone("status", "-w", case.root, "--json").json
    assert all(call["progress"] is None for call in status["calls"] if call["state"] == "finished")
