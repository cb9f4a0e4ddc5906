"""Containers that are lost: training goes on to the same weights, a controller with its run; nothing is done twice."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.survival import contents
from tests.e2e.conftest import hone
from tests.modal_app.plane import TIMEOUT, ModalHome, printed_json, serve_plane, wait_for
from tests.support.smoke import write_smoke

pytestmark = [pytest.mark.modal, pytest.mark.slow, pytest.mark.timeout(1800)]

KILLS = 3
STEPS = 60


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a description that trains long enough to be killed between checkpoints."""
    return write_smoke(tmp_path_factory.mktemp("spec"))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModalHome]:
    folder = tmp_path_factory.mktemp("recovery")
    with serve_plane(folder / "plane") as plane:
        yield ModalHome(plane, folder)


@pytest.fixture(scope="module")
def undisturbed(spec: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the content digests of the same calls on one machine, where nothing is killed."""
    workspace = tmp_path_factory.mktemp("undisturbed")
    done = hone("run", str(spec), *options(), "--workspace", str(workspace), "--json")
    assert done.returncode == 0, done.stderr
    return contents(workspace, json.loads(done.stdout)["run"])


def options() -> list[str]:
    return ["--set", f"train.max_steps={STEPS}", "--set", "train.save_steps=5", "--until", "train"]


def kill_after_a_checkpoint(home: ModalHome, command: subprocess.Popen[str]) -> None:
    """SIGKILL the training container once it has saved a checkpoint that was not there before."""
    saved = len(home.events("train.seed-0", "checkpoint"))
    wait_for(lambda: len(home.events("train.seed-0", "checkpoint")) > saved, command)
    (container,) = home.containers("train_stage")
    home.plane.kill(container)
    wait_for(lambda: container.ended, command)


def test_training_that_is_killed_three_times_ends_with_the_same_weights(
    home: ModalHome, spec: Path, undisturbed: dict[str, str]
) -> None:
    command = home.start("--config", spec, *options(), "--yes", "--json")
    for _ in range(KILLS):
        kill_after_a_checkpoint(home, command)
    output, _ = command.communicate(timeout=TIMEOUT)
    assert command.returncode == 0, output
    run = printed_json(output)["run"]
    assert home.digests(run)["train.seed-0"] == undisturbed["train.seed-0"]
    assert home.started("train_stage") == 1  # Modal itself gave the one call to other containers
    assert len(home.events("train.seed-0", "started")) == KILLS + 1
    steps = [event["data"]["step"] for event in home.events("train.seed-0", "checkpoint")]
    assert len(steps) <= STEPS // 5 + KILLS  # at most the checkpoint that a kill interrupted is made again
    (row,) = [row for row in printed_json(output)["money"]["calls"] if row["call"] == "train.seed-0"]
    assert row["attempts"] == KILLS + 1


def test_a_controller_that_is_killed_goes_on_and_repeats_nothing(home: ModalHome, spec: Path) -> None:
    seed = ["--set", "train.seeds=[1]"]
    command = home.start("--config", spec, *options(), *seed, "--yes", "--json")
    before = len(home.plane.calls)
    wait_for(lambda: home.events("train.seed-1", "checkpoint"), command)
    (controller,) = home.containers("control_run")
    home.plane.kill(controller)
    output, _ = command.communicate(timeout=TIMEOUT)
    assert command.returncode == 0, output
    made = [call.function.name for call in home.plane.calls[before:]]
    assert made.count("train_stage") == 1
    assert len(home.events("train.seed-1", "started")) == 1
    assert made.count("control_run") == 1
    ended = printed_json(output)
    assert ended["status"] == "stopped"
    assert {"data", "train.seed-1"} <= {*ended["executed"], *ended["reused"]}
