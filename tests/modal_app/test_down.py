"""``::down``: nothing that could cost money runs afterwards, and what a run has saved stays."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.modal_app.plane import APP, ModalHome, printed_json, serve_plane
from tests.modal_app.secrets import SECRETS
from tests.support.smoke import write_smoke

pytestmark = [pytest.mark.modal, pytest.mark.slow]

CANCELLED = 130
SPAWN = f"""
import sys, modal
print(modal.Function.from_name({APP!r}, "control_run").spawn(sys.argv[1]).object_id)
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModalHome]:
    """Return the app on a plane that all tests here share: what one has saved, the next goes on with."""
    folder = tmp_path_factory.mktemp("down")
    with serve_plane(folder / "plane", secrets=SECRETS) as plane:
        yield ModalHome(plane, folder)


@pytest.fixture(scope="module")
def spec(home: ModalHome) -> Path:
    """Return a description whose training goes on for minutes."""
    path = write_smoke(home.folder / "smoke")
    text = path.read_text().replace("max_steps: 12", "max_steps: 2000")
    assert "max_steps: 2000" in text
    path.write_text(text)
    return path


def wait_until(condition: Callable[[], object], process: subprocess.Popen[str], seconds: float = 300.0) -> None:
    """Return when the condition holds; fail with the command's output when it ended before, or time is over."""
    deadline = time.monotonic() + seconds
    while not condition():
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            pytest.fail(f"it did not come to this:\n{process.communicate()[0]}")
        time.sleep(0.1)


def trains(home: ModalHome) -> bool:
    """Tell whether a training container has left a checkpoint on the Volume and works on."""
    return bool(home.containers("train_stage") and home.events("train.seed-0", "checkpoint"))


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    output, _ = process.communicate(timeout=120)
    return process.returncode, output


def test_where_nothing_runs_nothing_is_stopped_and_nothing_is_made(home: ModalHome) -> None:
    done = home.run("--json", verb="down")
    assert done.returncode == 0, done.stdout
    assert printed_json(done.stdout) == {
        "stopped": [], "cancelled_calls": 0, "kept": {"volumes": [], "dicts": []}, "delete": []
    }  # fmt: skip
    assert home.plane.functions == {}  # so no image was built for it
    assert home.plane.volumes == {} and home.plane.cloud.dicts == {}
    assert all(app.stopped for app in home.plane.apps)


def test_a_run_that_is_asked_first_saves_what_it_has(home: ModalHome, spec: Path) -> None:
    process = home.start("--config", spec, "--yes", "--to", home.folder / "here")
    wait_until(lambda: trains(home), process)
    done = home.run("--graceful", verb="down")
    assert done.returncode == 0, done.stdout
    assert "asking support-triage-" in done.stdout
    assert f"  modal volume delete {APP}-artifacts\n" in done.stdout
    assert done.stdout.rstrip().endswith(f"nothing of {APP} runs on Modal now")
    assert home.plane.running == []
    code, output = ended(process)
    assert code == CANCELLED, output
    assert "Traceback" not in output


def test_everything_that_runs_is_stopped(home: ModalHome, spec: Path) -> None:
    """A run of ``modal run`` that trains, and a deployed app whose controller waits for that run's lease."""
    deployed = home.plane.modal("deploy", "-m", "modal_app.main", cwd=home.folder, env=home.environment)
    assert deployed.returncode == 0, deployed.stdout
    before = len(home.plane.calls)
    process = home.start("--config", spec, "--yes", "--to", home.folder / "here")
    wait_until(lambda: trains(home) and len(home.plane.calls) >= before + 3, process)
    run = json.loads(next(text for path, text in home.files().items() if path.endswith("/run.json")))["run"]
    order = json.dumps({"run": run, "max_cost": 1.0})
    spawned = subprocess.run(
        [sys.executable, "-c", SPAWN, order], env=home.plane.environment, capture_output=True, text=True, check=True
    )
    wait_until(lambda: sum(one.function.name == "control_run" for one in home.plane.running) == 2, process)
    assert not home.plane.app(APP).stopped

    done = home.run("--json", verb="down")
    assert done.returncode == 0, done.stdout
    assert home.plane.running == []
    assert all(app.stopped for app in home.plane.apps)
    assert all(not call.unfinished for call in home.plane.calls)
    told = printed_json(done.stdout)
    assert sorted(text.split(" ")[1] for text in told["stopped"]) == ["(deployed)", "(ephemeral)"]
    assert told["cancelled_calls"] >= 2  # the run's controller and its training
    assert told["kept"]["volumes"] == [f"{APP}-{kind}" for kind in ("artifacts", "models", "compile")]
    assert f"modal volume delete {APP}-artifacts" in told["delete"]
    assert spawned.stdout.strip() in {call.id for call in home.plane.calls}
    code, output = ended(process)
    assert code == CANCELLED, output
    assert f"error: {run}: the run was stopped on Modal" in output
    assert f"fix: modal run -m modal_app.main::resume --run {run}" in output
    assert "Traceback" not in output


def test_what_was_saved_stays_and_is_listed_again(home: ModalHome) -> None:
    assert home.events("train.seed-0", "checkpoint")
    told = printed_json(home.run("--json", verb="down").stdout)
    assert told["stopped"] == [] and told["cancelled_calls"] == 0
    assert told["kept"]["dicts"] == [f"{APP}-leases", f"{APP}-state"]
