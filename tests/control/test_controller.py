from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import pipeline.control.controller
import pipeline.execute
from local_runner.caller import LocalCaller
from pipeline.control.controller import Controller, Outcome
from pipeline.control.options import RunOptions
from pipeline.control.runs import RunDirectory
from pipeline.core.context import CallContext
from pipeline.core.errors import DataError, IntegrityError
from pipeline.core.spending import Spending
from pipeline.core.workspace import Store, Workspace
from pipeline.execute import prepare
from schemas.artifacts import Cost, StageCall
from schemas.base import ArtifactRef
from schemas.events import Event
from schemas.resolved import ResolvedRun
from tests.support.run_fixture import RunFixture
from tests.support.stages import Stages, data_call, install, train_call

WHOLE = RunOptions()
FRESH = RunOptions(fresh=frozenset({"train"}))


class Home:
    """A run of one ``data`` call and two ``train`` calls on it."""

    def __init__(self, root: Path, stages: Stages, run: ResolvedRun) -> None:
        self.root, self.stages, self.run = root, stages, run
        self.directory = RunDirectory(root / "runs" / "run-1")
        self.events: list[Event] = []

    def carry_out(self, options: RunOptions = WHOLE) -> Outcome:
        controller = Controller(self.root, LocalCaller(), self.events.append, lambda: False)
        return controller.carry_out(self.run, self.directory, options)

    def text(self, stage: str = "data") -> Path:
        return next((self.root / "artifacts" / stage).glob("*/text.txt"))


def calls(_run: ResolvedRun, finished: Any) -> list[StageCall]:
    def wanted() -> Iterator[StageCall]:
        yield data_call()
        if "data" in finished:
            yield train_call(finished["data"].ref, " one", "train.seed-0")
            yield train_call(finished["data"].ref, " two", "train.seed-1")

    return [call for call in wanted() if call.id not in finished]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    stages = install(monkeypatch)
    monkeypatch.setattr(pipeline.control.controller, "next_calls", calls)
    run = RunFixture(tmp_path / "fixture", spec={"constraints": {"max_hours": 1.0}}).resolved()
    return Home(tmp_path / "home", stages, run)


def test_a_finished_run_does_nothing(home: Home) -> None:
    assert home.carry_out().done == ("data", "train.seed-0", "train.seed-1")
    again = home.carry_out()
    assert (again.status, again.done) == ("finished", ())
    assert len(home.stages.made) == 3


def test_a_changed_input_is_made_again_by_the_run_that_needs_it(home: Home) -> None:
    home.carry_out(RunOptions(last="data"))
    home.text().write_text("hellO")
    outcome = home.carry_out()
    assert outcome.status == "finished"
    assert outcome.done == ("data", "train.seed-0", "train.seed-1")
    assert home.text().read_text() == "hello"
    assert sum("is damaged and made again" in event.message for event in home.events) == 1


def test_what_stays_damaged_ends_the_run(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def changed(_store: Store, ref: ArtifactRef) -> None:
        raise IntegrityError("file is changed", where=str(ref))

    monkeypatch.setattr(pipeline.control.controller, "verify_once", changed)
    monkeypatch.setattr(pipeline.execute, "verify_once", changed)
    outcome = home.carry_out()
    assert outcome.error is not None
    assert (outcome.failed_call, outcome.error.code) == ("train.seed-0", "integrity")
    assert home.stages.made == ["hello", "hello"]


def test_data_that_is_refused_ends_the_run_and_is_kept_to_be_seen(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(artifact: Any, _run: ResolvedRun) -> DataError | None:
        return DataError("no", where="rows") if artifact.note == "bad" else None

    monkeypatch.setattr(pipeline.control.controller, "refusal", refuses)
    home.stages.note = "bad"
    for _ in range(2):  # the second time it is found stored, and refused as well
        outcome = home.carry_out()
        assert (outcome.status, outcome.failed_call) == ("failed", "data")
        assert outcome.error is not None and outcome.error.code == "data"
        assert home.stages.made == ["hello"]
        assert home.directory.calls()["data"]["status"] == "failed"
        assert home.directory.calls()["data"]["fingerprint"] is not None
    looked = home.carry_out(RunOptions(last="data", refuses=False))
    assert looked.error is None and home.stages.made == ["hello"]


def test_an_interrupted_fresh_request_goes_on_where_it_was(home: Home) -> None:
    home.carry_out()
    home.stages.made.clear()

    def stops_at_the_second(context: CallContext, _workspace: Workspace) -> None:
        if context.call_id == "train.seed-1":
            raise RuntimeError("stopped")

    home.stages.before = stops_at_the_second
    assert home.carry_out(FRESH).failed_call == "train.seed-1"
    home.stages.before = lambda _context, _workspace: None
    assert home.carry_out(FRESH).done == ("train.seed-1",)
    assert home.stages.made == [" one", " two"]
    home.carry_out(FRESH)
    assert home.stages.made == [" one", " two", " one", " two"]


class Checkpoints:
    """Saves a checkpoint in every call of ``train``; ``failing`` ones fail then. ``found``: who came upon one."""

    def __init__(self, *failing: str) -> None:
        self.failing, self.found = failing, list[str]()

    def __call__(self, context: CallContext, workspace: Workspace) -> None:
        if context.call_id == "data":
            return
        checkpoint = workspace.scratch / "checkpoint"
        if checkpoint.exists():
            self.found.append(context.call_id)
        checkpoint.write_text("1")
        if context.call_id in self.failing:
            raise RuntimeError("stopped")


def test_fresh_begins_anew_at_its_first_attempt_and_goes_on_at_later_ones(home: Home) -> None:
    def attempt(options: RunOptions, *failing: str) -> list[str]:
        home.stages.before = checkpoints = Checkpoints(*failing)
        home.carry_out(options)
        return checkpoints.found

    assert attempt(WHOLE, "train.seed-0") == []
    assert attempt(FRESH, "train.seed-0") == []
    assert attempt(FRESH, "train.seed-1") == ["train.seed-0"]
    assert attempt(FRESH, "train.seed-1") == ["train.seed-1"]
    assert attempt(FRESH) == ["train.seed-1"]
    assert not (home.directory.path / "fresh.json").exists()


def test_a_fresh_request_killed_before_its_first_attempt_began_is_still_to_begin(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.stages.before = Checkpoints("train.seed-0")
    home.carry_out()

    def killed(_store: Store, _ref: ArtifactRef) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Store, "discard_work", killed)
        with pytest.raises(KeyboardInterrupt):
            home.carry_out(FRESH)
    home.stages.before = checkpoints = Checkpoints()
    assert home.carry_out(FRESH).done == ("train.seed-0", "train.seed-1")
    assert checkpoints.found == []


def test_a_request_for_other_stages_is_another(home: Home) -> None:
    home.stages.before = Checkpoints("train.seed-0")
    home.carry_out(FRESH)
    home.stages.before = checkpoints = Checkpoints("train.seed-0")
    home.carry_out(RunOptions(fresh=frozenset({"data", "train"})))
    assert checkpoints.found == []


def test_time_that_earlier_attempts_took_is_gone_whatever_run_they_belonged_to(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.carry_out(RunOptions(last="data"))
    store = Store(home.root)
    data = next(store.list("data"))
    path = store.spent_file(prepare(train_call(data, " one"), store).ref)
    path.parent.mkdir(parents=True)
    spending = Spending(path)
    monkeypatch.setattr(spending, "_meter", type("Hours", (), {"cost": lambda _self: spent(3600.0)})())
    spending.note()

    def checks(context: CallContext, _workspace: Workspace) -> None:
        context.check()

    home.stages.before = checks
    outcome = home.carry_out()
    assert outcome.error is not None
    assert outcome.error.code == "budget"
    assert home.carry_out(FRESH).status == "finished"


def spent(wall_seconds: float) -> Cost:
    return Cost(cpu_seconds=1.0, wall_seconds=wall_seconds, peak_memory_bytes=1)
