"""What ends with what, and whose Python and packages run a body."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import venv
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.modal_plane.conftest import Write, wait_until
from tests.modal_plane.fixture import why_not
from tests.modal_plane.server import Plane

pytestmark = pytest.mark.modal
PROJECT = Path(__file__).resolve().parents[2]

FAMILY = """
    import subprocess, sys, time, modal

    app = modal.App("family")

    @app.function()
    def parent():
        code = "import time; print('grandchild', flush=True); time.sleep(600)"
        child = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
        time.sleep(600)

    @app.local_entrypoint()
    def main():
        parent.remote()
"""


def _family(path: Path) -> list[psutil.Process]:
    """Processes that run inside a container of a plane below ``path``, and the shims that hold them."""
    found: set[psutil.Process] = set()
    for process in psutil.process_iter(["cmdline"]):
        if any(str(path) in part for part in process.info["cmdline"] or []):
            found.update([process, *process.children(recursive=True)])
    return list(found)


@contextlib.contextmanager
def _started(command: list[str], variables: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        command, cwd=PROJECT, env={**os.environ, **variables}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    with process:
        try:
            yield process
        finally:
            process.kill()


def test_nothing_outlives_a_plane_that_is_killed(tmp_path: Path, write: Write) -> None:
    if reason := why_not():
        pytest.skip(f"NO MODAL TESTS HERE: {reason}")
    command = [sys.executable, "-m", "tests.modal_plane", "--root", str(tmp_path / "plane")]
    with _started(command, {}) as plane:
        assert plane.stdout is not None
        lines = [plane.stdout.readline() for _ in range(5)]
        variables = dict(line.removeprefix("export ").strip().split("=", 1) for line in lines)
        with _started([sys.executable, "-m", "modal", "run", str(write(FAMILY))], variables) as runner:
            assert runner.stdout is not None
            output: list[str] = []
            while not (output and "grandchild" in output[-1]):
                output.append(runner.stdout.readline())
                assert output[-1], "".join(output)
            family = _family(tmp_path / "plane" / "containers")
            assert len(family) == 4  # the shim, the init inside, the body, and its child in a session of its own
            plane.kill()
            assert psutil.wait_procs(family, timeout=10)[1] == []


def test_a_body_runs_in_the_python_of_its_image_with_modals_client_last(
    start_plane: Callable[..., Plane], write: Write, tmp_path: Path
) -> None:
    """An environment without Modal's client borrows it; its own packages come first."""
    other = tmp_path / "other"
    venv.create(other, with_pip=False)
    site = next((other / "lib").iterdir()) / "site-packages"
    (site / "aiohttp").mkdir()
    (site / "aiohttp" / "__init__.py").write_text("__version__ = 'the image own'\n")

    def interpreter(image: object) -> str:
        chosen = image is not None and image.env.get("ENVIRONMENT") == "other"  # type: ignore[attr-defined]
        return str(other / "bin" / "python") if chosen else sys.executable

    plane = start_plane(interpreter=interpreter)
    path = write("""
        import sys, modal

        app = modal.App("pythons")
        image = modal.Image.debian_slim(python_version="3.11").env({"ENVIRONMENT": "other"})

        @app.function(image=image)
        def which():
            import aiohttp
            return sys.prefix, aiohttp.__version__

        @app.function()
        def usual():
            return sys.prefix

        @app.local_entrypoint()
        def main():
            print(f"{which.remote()} {usual.remote()}")
    """)
    done = plane.modal("run", str(path))
    assert f"('{other}', 'the image own') {sys.prefix}" in done.stdout, done.stdout


def test_volumes_can_be_committed_in_the_background(start_plane: Callable[..., Plane], write: Write) -> None:
    plane = start_plane(commit_seconds=0.2)
    path = write("""
        import time, modal

        app = modal.App("background")

        @app.function(volumes={"/data": modal.Volume.from_name("data", create_if_missing=True)})
        def write():
            open("/data/file", "w").write("seen")
            time.sleep(60)

        @app.local_entrypoint()
        def main():
            write.spawn()
            time.sleep(60)
    """)
    process = plane.start_modal("run", str(path))
    try:
        wait_until(lambda: any(one.files() for one in plane.volumes.values()))
    finally:
        process.send_signal(signal.SIGQUIT)  # the keeper above the command turns it into SIGKILL
        process.communicate()
    assert plane.volumes["data"].files() == {"file": b"seen"}
