"""Runs that share the Volume, and the money that they may take."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.modal_app.plane import TIMEOUT, ModalHome, printed_json, serve_plane, wait_for
from tests.support.smoke import write_smoke

pytestmark = [pytest.mark.modal, pytest.mark.slow, pytest.mark.timeout(1800)]

BUDGET = 11
CANCELLED = 130
UNTIL = ("--until", "train")
INTERVAL = 0.6
"""Dollars of ten seconds: more than lies between two checkpoints."""
STEPS, SAVED_EVERY = 300, 10


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_smoke(tmp_path_factory.mktemp("spec"))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModalHome]:
    folder = tmp_path_factory.mktemp("sharing")
    with serve_plane(folder / "plane") as plane:
        yield ModalHome(plane, folder)


def until_training(steps: int = 12, seed: int = 0) -> list[str]:
    return [
        "--set", f"train.max_steps={steps}", "--set", f"train.save_steps={SAVED_EVERY}",
        "--set", f"train.seeds=[{seed}]", *UNTIL, "--yes", "--json",
    ]  # fmt: skip


def ended(command: Any) -> tuple[int, dict[str, Any]]:
    output, _ = command.communicate(timeout=TIMEOUT)
    return command.returncode, printed_json(output)


@pytest.mark.full
def test_runs_at_once_share_what_is_equal_and_do_it_once(home: ModalHome, spec: Path) -> None:
    """Two clients start the same run and a third another one: their data is the same, the training of two of them."""
    commands = [home.start("--config", spec, *until_training(seed=seed)) for seed in (0, 0, 1)]
    (code, first), (again, second), (other, third) = [ended(command) for command in commands]
    assert (code, again, other) == (0, 0, 0)
    assert first["run"] == second["run"] != third["run"]
    assert len(home.events("data", "finished")) == 1
    assert len(home.events("data.retention-commands", "finished")) == 1
    assert len(home.events("train.seed-0", "finished")) == len(home.events("train.seed-1", "finished")) == 1
    assert len(home.events("train.seed-0", "started")) == len(home.events("data", "started")) == 1


def saved_steps(home: ModalHome, call_id: str) -> list[int]:
    return [event["data"]["step"] for event in home.events(call_id, "checkpoint")]


@pytest.mark.full
def test_the_cap_stops_a_run_with_a_checkpoint_and_a_higher_one_lets_it_finish(home: ModalHome, spec: Path) -> None:
    """A thousandfold price makes seconds dollars: about 0.06 a second for a container of 4 cores and 8 GiB.

    On a busy machine the first cap may be used up before training has begun; it is raised until a checkpoint is there.
    """
    scale = ["--price-scale", "1000", "--json"]
    cap, call_id = 2.5, "train.seed-2"
    code, stopped = ended(home.start("--config", spec, *until_training(STEPS, seed=2), "--max-cost", str(cap), *scale))
    while True:
        assert code == BUDGET
        assert stopped["error"]["where"] == "constraints.max_cost"
        assert 0.0 < stopped["money"]["spent"]["dollars"] <= cap + INTERVAL
        if saved := saved_steps(home, call_id):
            break
        cap += 1.0
        code, stopped = ended(
            home.start("--run", stopped["run"], *UNTIL, "--max-cost", str(cap), *scale, verb="resume")
        )
    assert stopped["failed_call"] == call_id
    assert saved[-1] < STEPS
    assert any(path.startswith("work/train/") and "checkpoint" in path for path in home.files())

    code, finished = ended(
        home.start("--run", stopped["run"], "--max-cost", "60", *scale, "--until", "train", verb="resume")
    )
    assert code == 0
    assert finished["money"]["spent"]["dollars"] > stopped["money"]["spent"]["dollars"]
    following = saved_steps(home, call_id)[len(saved)]
    assert saved[-1] < following <= saved[-1] + SAVED_EVERY  # it went on from what it saved when it stopped
    assert len(home.events(call_id, "finished")) == 1


def test_a_cancelled_run_stops_with_what_it_has_resumes_and_can_be_forgotten(home: ModalHome, spec: Path) -> None:
    command = home.start("--config", spec, *until_training(100, seed=3))
    wait_for(lambda: home.events("train.seed-3", "checkpoint"), command)
    run = next(path.split("/")[1] for path in home.files() if "/events/train.seed-3." in path)
    assert home.run("--run", run, verb="cancel").returncode == 0
    code, stopped = ended(command)
    assert code == CANCELLED
    assert stopped["error"]["code"] == "cancelled"
    saved = home.events("train.seed-3", "checkpoint")
    code, finished = ended(home.start("--run", run, *UNTIL, "--yes", "--json", verb="resume"))
    assert (code, finished["status"]) == (0, "stopped")
    assert home.events("train.seed-3", "checkpoint")[len(saved)]["data"]["step"] > saved[-1]["data"]["step"]

    runs = {path.split("/")[1] for path in home.files() if path.startswith("runs/")}
    of_others = set[str]().union(*(artifacts(home, other) for other in runs - {run}))
    only_its_own, before = artifacts(home, run) - of_others, folders(home)
    assert only_its_own
    removed = printed_json(home.run("--run", run, "--json", verb="gc").stdout)
    assert (removed["runs"], len(removed["artifacts"])) == ([run], len(only_its_own))
    assert before - folders(home) == {f"runs/{run}", *only_its_own}


def artifacts(home: ModalHome, run: str) -> set[str]:
    """Return the folders of the artifacts that a run's calls made or found."""
    calls = home.calls(run).values()
    return {f"artifacts/{call['stage']}/{call['fingerprint']}" for call in calls if call["fingerprint"]}


def folders(home: ModalHome) -> set[str]:
    """Return the folders of artifacts and of runs."""
    paths = [path.split("/") for path in home.files()]
    return {"/".join(parts[: 2 if parts[0] == "runs" else 3]) for parts in paths if parts[0] in ("artifacts", "runs")}
