"""A failed call of a run whose calls are under way side by side: what is still done, and what is not begun."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import pipeline.control.controller
from pipeline.control.controller import Controller, Outcome
from pipeline.control.options import RunOptions
from pipeline.control.runs import RunDirectory
from pipeline.core.context import CallContext
from pipeline.core.errors import BudgetError, Cancelled
from pipeline.core.workspace import Workspace
from pipeline.execute import Prepared, carry_out
from schemas.artifacts import CallResult, StageCall
from schemas.base import Device
from schemas.events import Event
from schemas.request import CallRequest
from schemas.resolved import ResolvedRun
from tests.support.run_fixture import RunFixture
from tests.support.stages import Stages, data_call, install, train_call

FAILING, OTHER, AFTER_FAILING, AFTER_OTHER = (f"train.seed-{number}" for number in range(4))


def calls(_run: ResolvedRun, finished: Any) -> list[StageCall]:
    """Two branches on ``data``, of two calls each."""

    def wanted() -> Iterator[StageCall]:
        yield data_call()
        for call_id, needed in ((FAILING, "data"), (OTHER, "data"), (AFTER_FAILING, FAILING), (AFTER_OTHER, OTHER)):
            if needed in finished:
                yield train_call(finished[needed].ref, f" {call_id}", call_id)

    return [call for call in wanted() if call.id not in finished]


@dataclass
class SideBySide:
    """Carries calls out in this process, several at once; those of ``held`` end after the failing one."""

    workers: int = 3
    device: Device = "cpu"
    held: tuple[str, ...] = ()
    begun: list[str] = field(default_factory=list)
    _failed: threading.Event = field(default_factory=threading.Event)

    def carry_out(
        self,
        prepared: Prepared,
        request: CallRequest,
        run: RunDirectory,
        sink: Callable[[Event], None],
        cancelled: Callable[[], bool],
    ) -> CallResult:
        call_id = prepared.call.id
        self.begun.append(call_id)
        if call_id in self.held:
            assert self._failed.wait(20)
        result = carry_out(request, sink, cancelled)
        if call_id == FAILING:
            self._failed.set()
        return result

    def found(self, call: StageCall) -> None:
        pass

    def sync(self) -> None:
        pass


@dataclass
class Home:
    """A run of two branches."""

    root: Path
    stages: Stages
    run: ResolvedRun

    def fails_with(self, error: Exception) -> None:
        def before(context: CallContext, _workspace: Workspace) -> None:
            if context.call_id == FAILING:
                raise error

        self.stages.before = before

    def carry_out(self, caller: SideBySide) -> Outcome:
        controller = Controller(self.root, caller, lambda _event: None, lambda: False)
        return controller.carry_out(self.run, RunDirectory(self.root / "runs" / "run-1"), RunOptions())


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    stages = install(monkeypatch)
    monkeypatch.setattr(pipeline.control.controller, "next_calls", calls)
    return Home(tmp_path / "home", stages, RunFixture(tmp_path / "fixture").resolved())


def test_what_does_not_depend_on_a_failed_call_is_finished(home: Home) -> None:
    home.fails_with(RuntimeError("broken"))
    caller = SideBySide(held=(OTHER,))
    outcome = home.carry_out(caller)
    assert outcome.status == "failed"
    assert outcome.done == ("data", OTHER, AFTER_OTHER)
    assert outcome.failed_call == FAILING
    assert outcome.error is not None and outcome.error.message == "RuntimeError: broken"
    assert sorted(caller.begun) == sorted(["data", FAILING, OTHER, AFTER_OTHER])


@pytest.mark.parametrize("error", [Cancelled("stopped"), BudgetError("used up", where="constraints.max_cost")])
def test_nothing_is_begun_after_a_call_that_was_cancelled_or_has_no_money(home: Home, error: Exception) -> None:
    home.fails_with(error)
    caller = SideBySide(held=(OTHER,))
    outcome = home.carry_out(caller)
    assert (outcome.status, outcome.failed_call) == ("failed", FAILING)
    assert outcome.done == ("data", OTHER)
    assert sorted(caller.begun) == sorted(["data", FAILING, OTHER])


def test_one_worker_begins_nothing_after_any_failure(home: Home) -> None:
    home.fails_with(RuntimeError("broken"))
    caller = SideBySide(workers=1)
    assert home.carry_out(caller).status == "failed"
    assert caller.begun == ["data", FAILING]


def test_a_run_that_failed_goes_on_with_the_branch_that_is_missing(home: Home) -> None:
    home.fails_with(RuntimeError("broken"))
    home.carry_out(SideBySide())
    home.stages.before = lambda _context, _workspace: None
    outcome = home.carry_out(SideBySide())
    assert outcome.status == "finished"
    assert outcome.done == (FAILING, AFTER_FAILING)
