"""A client install, the wheel with its own dependencies alone, is enough to plan, run, deploy and look on Modal."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.modal_app.plane import APP, ModalHome, printed_json, serve_plane
from tests.modal_app.secrets import SECRETS
from tests.support.smoke import write_smoke
from tests.support.wheel import build_wheel
from tests.test_house import ELSEWHERE, HEAVY

MODULES = """
import importlib, os, pkgutil, resource, select, signal, socket, sys

PACKAGES = ("schemas", "pipeline", "local_runner", "modal_app")

def modules():
    for package in PACKAGES:
        yield package
        for found in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}."):
            if not found.name.startswith(ELSEWHERE) and not found.name.endswith("__main__"):
                yield found.name

names = list(modules())
for name in names:
    importlib.import_module(name)
print(len(names))
"""
"""Imports every module of the four packages."""

AS_ON_MACOS = """
LINUX_ONLY = {
    os: "O_DIRECT O_TMPFILE copy_file_range eventfd getxattr memfd_create pidfd_open posix_fadvise posix_fallocate "
        "sched_getaffinity sched_setaffinity setxattr splice",
    resource: "RLIMIT_MSGQUEUE RLIMIT_SIGPENDING RUSAGE_THREAD prlimit",
    select: "EPOLLIN epoll",
    signal: "SIGPOLL SIGPWR SIGRTMAX SIGRTMIN SIGSTKFLT pidfd_send_signal sigtimedwait sigwaitinfo",
    socket: "AF_NETLINK AF_PACKET AF_VSOCK SO_BINDTODEVICE SO_PEERCRED",
}
for name in [name for name in sys.modules if name.split(".")[0] in PACKAGES]:
    del sys.modules[name]
for module, attributes in LINUX_ONLY.items():
    for attribute in attributes.split():
        delattr(module, attribute)
sys.platform = "darwin"
for name in names:
    importlib.import_module(name)
"""
"""Imports them again, without what Python has on Linux and not on macOS; other packages are in place by then."""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the Python of a fresh environment with the wheel and what it asks for; skip where no registry answers."""
    folder = tmp_path_factory.mktemp("client")
    uv = [sys.executable, "-m", "uv", "--no-config", "--quiet"]
    subprocess.run([*uv, "venv", "--python", sys.executable, str(folder / "venv")], check=True)
    python = folder / "venv" / "bin" / "python"
    install = [*uv, "--system-certs", "pip", "install", "--python", str(python), str(build_wheel(folder))]
    done = subprocess.run(install, capture_output=True, text=True, timeout=300, check=False)
    if "Failed to fetch" in done.stderr or "error sending request" in done.stderr:
        pytest.skip(f"NO CLIENT INSTALL HERE: the package registry does not answer ({done.stderr.strip()[:200]})")
    assert done.returncode == 0, done.stderr
    return python


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModalHome]:
    """Return the app on a plane whose containers have the environments of this project."""
    folder = tmp_path_factory.mktemp("plane")
    with serve_plane(folder / "plane", secrets=SECRETS) as plane:
        yield ModalHome(plane, folder, {"PYTHONPATH": ""})


@pytest.fixture(scope="module")
def spec(home: ModalHome) -> Path:
    return write_smoke(home.folder / "smoke")


Modal = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def modal(client: Path, home: ModalHome) -> Modal:
    """Return a function that runs the client's ``modal`` command against the plane."""

    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        words = [str(word) for word in arguments]
        done = home.plane.modal(*words, cwd=home.folder, env=home.environment, timeout=300.0, python=client)
        assert "ModuleNotFoundError" not in done.stdout, done.stdout
        return done

    return run


def hone(client: Path, folder: Path, *arguments: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the client's ``hone`` command in ``folder``."""
    command = [str(client.with_name("hone")), *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": "", "HF_HUB_OFFLINE": "1", **variables}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_it_has_modal_and_no_machine_learning(client: Path) -> None:
    code = f"from importlib.util import find_spec; print([name for name in {HEAVY!r} if find_spec(name)])"
    done = subprocess.run([client, "-c", f"{code}\nimport modal"], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_every_module_is_imported_there_and_nothing_of_linux_alone_is_asked_for(client: Path, tmp_path: Path) -> None:
    code = f"ELSEWHERE = {ELSEWHERE!r}\n{MODULES}{AS_ON_MACOS}"
    done = subprocess.run(
        [client, "-P", "-c", code], cwd=tmp_path, env={**os.environ, "PYTHONPATH": ""},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 200


def test_hone_helps_plans_and_tells_how_runs_stand(client: Path, tmp_path: Path) -> None:
    description = write_smoke(tmp_path / "smoke")
    assert hone(client, tmp_path, "--help").returncode == 0
    done = hone(client, tmp_path, "status")
    assert "no run in this workspace" in done.stderr
    plan = hone(client, tmp_path, "plan", description, "--json")
    assert plan.returncode == 0, plan.stderr
    planned: dict[str, Any] = json.loads(plan.stdout)
    assert planned["parameters"] == 1_027_968  # as where transformers counts them


def test_what_a_client_cannot_do_names_the_package_and_what_to_do(client: Path, tmp_path: Path) -> None:
    done = hone(client, tmp_path, "data", "check", write_smoke(tmp_path / "smoke"))
    assert done.returncode == 5
    assert "this needs the package" in done.stderr
    assert "pip install 'hone-llm[local]'" in done.stderr and "--on modal" in done.stderr
    assert "defect" not in done.stderr


@pytest.mark.modal
def test_a_run_is_planned_and_looked_at_on_modal(modal: Modal, home: ModalHome, spec: Path) -> None:
    here = home.folder / "here"
    done = modal("run", "-m", "modal_app.main::plan", "--config", spec, "--to", here, "--json")
    assert done.returncode == 0, done.stdout
    planned = printed_json(done.stdout)
    run = planned["run"]
    assert planned["plan"]["parameters"] == 1_027_968
    assert "tokenizer" not in json.dumps(planned["plan"]["warnings"])
    assert (planned["placements"]["train"]["gpu"], planned["doubts"]) == (None, [])  # no GPU is offered here
    status = modal("run", "-m", "modal_app.main::status", "--to", here, "--json")
    assert status.returncode == 0, status.stdout
    assert printed_json(status.stdout)["run"] == run
    fetch = modal("run", "-m", "modal_app.main::fetch", "--run", run, "--to", here)
    assert fetch.returncode == 0, fetch.stdout
    assert json.loads((here / "runs" / run / "run.json").read_text())["run"] == run
    cancel = modal("run", "-m", "modal_app.main::cancel", "--run", run)
    assert cancel.returncode == 0 and f"{run} is not under way" in cancel.stdout
    unknown = modal("run", "-m", "modal_app.main::cancel", "--run", "another")
    assert unknown.returncode == 3 and f"known: {run}" in unknown.stdout
    usage = modal("run", "-m", "modal_app.main::fetch", "--", "--help")
    assert usage.returncode == 0 and "Usage: modal run -m modal_app.main::fetch [OPTIONS]" in usage.stdout


@pytest.mark.full
@pytest.mark.modal
def test_hone_run_on_modal_goes_through_the_same_command(
    client: Path, modal: Modal, home: ModalHome, spec: Path
) -> None:
    """As far as the data: what comes after needs no more of the client."""
    variables = {**home.plane.environment, **home.environment}
    arguments = ("run", spec, "--on", "modal", "--until", "data", "--yes", "--json")
    done = hone(client, home.folder, *arguments, **variables)
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout)
    assert told["status"] == "stopped" and "data" in told["executed"]
    assert (home.folder / f"{APP}-modal" / "runs" / told["run"] / "report" / "report.html").is_file()
    fetch = modal("run", "-m", "modal_app.main::fetch", "--run", told["run"], "--to", home.folder / "there")
    assert fetch.returncode == 0, fetch.stdout
    made = {path.parent.parent.name for path in home.folder.glob("there/artifacts/*/*/manifest.json")}
    assert made == {"plan", "data"}


@pytest.mark.modal
def test_the_app_is_deployed_and_taken_down(modal: Modal, home: ModalHome) -> None:
    deployed = modal("deploy", "-m", "modal_app.main")
    assert deployed.returncode == 0, deployed.stdout
    assert not home.plane.app(APP).stopped
    down = modal("run", "-m", "modal_app.main::down", "--json")
    assert down.returncode == 0, down.stdout
    assert [text.split(" ")[1] for text in printed_json(down.stdout)["stopped"]] == ["(deployed)"]
    assert home.plane.running == [] and all(app.stopped for app in home.plane.apps)
