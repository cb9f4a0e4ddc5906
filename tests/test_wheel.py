"""The wheel, installed beside other packages of the same names, runs its own code or says what is in the way."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.modal_app.conftest import start_home
from tests.modal_app.plane import ModalHome, StartHome, printed_json
from tests.modal_app.secrets import SECRETS
from tests.modal_plane.fixture import start_plane
from tests.support.wheel import build_wheel, write_decoys

__all__ = ["start_home", "start_plane"]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder into which the wheel, built from this tree, is installed."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    install = [*pip, "install", "--no-deps", "--target", str(folder / "site"), str(build_wheel(folder))]
    subprocess.run(install, check=True, cwd=folder)
    return folder / "site"


@pytest.fixture
def decoys(tmp_path: Path) -> Path:
    """Return a folder with a ``pipeline`` and a ``schemas`` of somebody else's."""
    return write_decoys(tmp_path / "decoys")


def hone(path: list[Path], cwd: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the installed command with ``path`` before everything else; -P keeps the current folder off it."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(str(entry) for entry in path)}
    command = [sys.executable, "-P", "-m", "local_runner.main", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd, env=environment)


def test_the_installed_command_runs_its_own_code_beside_decoys(installed: Path, decoys: Path) -> None:
    done = hone([installed, decoys], decoys, "demo", "--help")
    assert done.returncode == 0, done.stderr
    plan = hone([installed, decoys], decoys, "env", "list", "--json")
    assert plan.returncode == 0, plan.stderr
    assert "serve-vllm" in plan.stdout


def test_the_wheel_holds_everything_that_is_not_python(installed: Path) -> None:
    for name in (
        "pipeline/embedded/tiny_base/model.safetensors",
        "pipeline/embedded/tiny_base/chat_template.jinja",
        "local_runner/demo/triage.yaml",
        "pipeline/environments/main.cpu.txt",
        "pipeline/environments/train.cuda.txt",
        "pipeline/report/templates/report.html",
    ):
        assert (installed / name).is_file(), name


def test_what_shadows_a_package_is_named(installed: Path, decoys: Path) -> None:
    done = hone([decoys, installed], decoys, "env", "list")
    assert done.returncode == 5
    assert str(decoys / "schemas") in done.stderr
    assert "Traceback" not in done.stderr


def sent(home: ModalHome, function: str) -> dict[str, str]:
    """Return the digest of every file that reached the plane for a function's containers, by path."""
    found = home.plane.functions[function]
    mounts = [home.plane.cloud.mounts[mount_id] for mount_id in found.definition.mount_ids]
    return {path: digest for mount in mounts for path, (digest, _) in mount.files.items()}


def files_of(installed: Path) -> dict[str, str]:
    """Return the digest of every file of the wheel that containers get, by its path there."""
    return {
        f"/root/{path.relative_to(installed).as_posix()}": hashlib.sha256(path.read_bytes()).hexdigest()
        for package in ("schemas", "pipeline", "modal_app")
        for path in (installed / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


@pytest.mark.modal
@pytest.mark.parametrize("command", ["run", "deploy"])
def test_modal_runs_and_deploys_the_wheel_beside_decoys(
    installed: Path, decoys: Path, start_home: StartHome, command: str
) -> None:
    """``modal run -m`` looks in the current folder first, where the decoys are."""
    home = start_home({"PYTHONPATH": str(installed)}, secrets=SECRETS)
    home.folder = decoys
    if command == "run":
        done = home.run("--dry-run", "--json", verb="gc")
        assert done.returncode == 0, done.stdout
        assert printed_json(done.stdout)["removed"] is False  # as the wheel's code in its container says it
    else:
        done = home.plane.modal("deploy", "-m", "modal_app.main", cwd=decoys, env=home.environment)
        assert done.returncode == 0, done.stdout
    assert sent(home, "train_stage") == files_of(installed)


@pytest.mark.modal
def test_modal_names_what_shadows_a_package_and_sends_nothing(
    installed: Path, decoys: Path, start_home: StartHome
) -> None:
    home = start_home({"PYTHONPATH": os.pathsep.join((str(decoys), str(installed)))})
    done = home.plane.modal("deploy", "-m", "modal_app.main", cwd=home.folder, env=home.environment)
    assert done.returncode == 5
    assert f"package 'schemas' is found at {decoys / 'schemas'}" in done.stdout
    assert home.plane.functions == {}
