from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.control.runs import RunDirectory, RunList
from pipeline.core.errors import ConfigError
from schemas.artifacts import CallResult, StageCall
from schemas.base import ArtifactRef, Reference
from schemas.base_model import BaseModelRef
from schemas.resolved import ResolvedRun
from tests.support.run_fixture import RunFixture


def version(number: int) -> ArtifactRef:
    return ArtifactRef(stage="register", fingerprint=f"{number}" * 64)


@pytest.fixture
def runs(tmp_path: Path) -> RunList:
    return RunList(tmp_path)


@pytest.fixture
def plain(tmp_path: Path) -> ResolvedRun:
    """A run of the description ``triage`` from a base of its own."""
    return RunFixture(tmp_path / "fixture").resolved()


def on_version(run: ResolvedRun, number: int) -> ResolvedRun:
    """Return what resolving gives where the base's name leads to version ``number``."""
    weights = Reference(location=f"/artifacts/{number}", digest=f"{number}" * 64)
    base = BaseModelRef(name=f"triage@{number}", weights=weights)
    return run.model_copy(update={"base": base, "parent": version(number)})


def start(runs: RunList, run: ResolvedRun, registered: int | None = None) -> RunDirectory:
    directory = runs.directory(run.run_id())
    directory.write(run)
    if registered is not None:
        finish(directory, registered)
    return directory


def finish(directory: RunDirectory, registered: int) -> None:
    call = StageCall(id="register", stage="register", config={})
    directory.record(call, CallResult(call_id="register", status="done", ref=version(registered)))


def test_a_run_by_name_is_the_newest_that_came_to_its_end(runs: RunList, plain: ResolvedRun) -> None:
    start(runs, plain, registered=1)
    unfinished = start(runs, on_version(plain, 1))
    assert runs.register_artifact("triage") == version(1)
    finish(unfinished, registered=2)
    assert runs.register_artifact("triage") == version(2)
    assert runs.register_artifact(plain.run_id()) == version(1)


def test_a_name_without_a_finished_run_says_so(runs: RunList, plain: ResolvedRun) -> None:
    start(runs, plain)
    with pytest.raises(ConfigError, match=r"run:triage: this run has not come to its end \(finish triage-"):
        runs.register_artifact("triage")


def test_a_description_on_its_own_champion_does_not_start_again_when_it_becomes_champion(
    runs: RunList, plain: ResolvedRun
) -> None:
    began = on_version(plain, 1)
    directory = start(runs, began)
    assert runs.began_as(began) == began
    finish(directory, registered=2)
    again = runs.began_as(on_version(plain, 2))
    assert again.run_id() == directory.run
    assert (again.base, again.parent) == (began.base, version(1))


def test_other_data_on_the_new_champion_is_a_new_run(runs: RunList, plain: ResolvedRun) -> None:
    start(runs, on_version(plain, 1), registered=2)
    edited = plain.data.model_copy(update={"train": Reference(location="/rows", digest="e" * 64)})
    promoted = on_version(plain, 2).model_copy(update={"data": edited})
    assert runs.began_as(promoted) == promoted


def test_a_version_of_another_description_is_taken_as_it_is(runs: RunList, plain: ResolvedRun) -> None:
    start(runs, plain, registered=1)
    spec = plain.spec.model_copy(update={"name": "other"})
    other = on_version(plain, 1).model_copy(update={"spec": spec})
    assert runs.began_as(other) == other
