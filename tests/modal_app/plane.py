"""The app on the loopback control plane: containers run under the Python of their image's environment."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import local_runner.environments as local
from pipeline.environments import environment_file, environment_names
from tests.modal_plane.cloud import Options
from tests.modal_plane.containers import Container
from tests.modal_plane.fixture import why_not
from tests.modal_plane.images import Image
from tests.modal_plane.server import Plane

PROJECT = Path(__file__).resolve().parent.parent.parent
APP = "hone-test"
TIMEOUT = 900.0
"""Seconds that a command may take on a machine that does other work as well."""


def environment_of(image: Image) -> str:
    """Return the environment whose file an image installs.

    Raises:
        LookupError: it installs none that this machine could have.
    """
    for content in image.files.values():
        for name in environment_names("cpu"):
            if content == environment_file(name).read_bytes():
                return name
    raise LookupError(f"no environment file among {sorted(image.files)}")


def interpreter(image: Image | None) -> str:
    """Return the Python that runs an image's function bodies; that of a missing environment does not exist."""
    if image is None:
        return sys.executable
    name = environment_of(image)
    return sys.executable if name in ("main", "service") else str(local.environment(name).python)


@dataclass
class ModalHome:
    """The app on one plane: its settings, and the folder that the command stands in."""

    plane: Plane
    folder: Path
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """The variables of every command."""
        return {
            "HONE_MODAL_APP": APP,
            "HONE_MODAL_DEVICE": "cpu",
            "HONE_MODAL_LEASE_SECONDS": "8",
            "PYTHONPATH": str(PROJECT),
            **self.settings,
        }

    def run(self, *arguments: str | Path, verb: str = "", detach: bool = False) -> subprocess.CompletedProcess[str]:
        """Carry out ``modal run -m modal_app.main`` with these arguments and return how it ended."""
        name = "modal_app.main" + (f"::{verb}" if verb else "")
        options = ["--detach"] if detach else []
        words = ["run", *options, "-m", name, *map(str, arguments)]
        return self.plane.modal(*words, cwd=self.folder, env=self.environment, timeout=TIMEOUT)

    def start(self, *arguments: str | Path, verb: str = "") -> subprocess.Popen[str]:
        """Begin ``modal run -m modal_app.main`` with these arguments."""
        words = ["run", "-m", "modal_app.main" + (f"::{verb}" if verb else ""), *map(str, arguments)]
        return self.plane.start_modal(*words, cwd=self.folder, env=self.environment)

    def files(self, volume: str = "artifacts") -> dict[str, bytes]:
        """Return the committed files of one of the app's Volumes; none while it does not exist."""
        found = self.plane.volumes.get(f"{APP}-{volume}")
        return {} if found is None else found.files()

    def calls(self, run: str) -> dict[str, dict[str, Any]]:
        """Return the record of a run's calls on the Volume; nothing while there is none."""
        text = self.files().get(f"runs/{run}/calls.json")
        return {} if text is None else dict(json.loads(text))

    def digests(self, run: str) -> dict[str, str]:
        """Return the content digest of every finished call of a run."""
        files = self.files()
        return {
            name: json.loads(files[f"artifacts/{call['stage']}/{call['fingerprint']}/manifest.json"])["content_digest"]
            for name, call in self.calls(run).items()
            if call["fingerprint"]
        }

    def events(self, call_id: str, kind: str) -> list[dict[str, Any]]:
        """Return the committed events of one kind of a call, of whatever run."""
        lines = (
            line
            for path, content in sorted(self.files().items())
            if "/events/" in path and path.split("/")[-1].startswith(f"{call_id}.")
            for line in content.decode().splitlines()
        )
        return [event for event in map(json.loads, lines) if (event["call_id"], event["kind"]) == (call_id, kind)]

    def containers(self, function: str) -> list[Container]:
        """Return the running containers of a function that work on an input."""
        return [one for one in self.plane.running if one.function.name == function and one.running]

    def started(self, function: str) -> int:
        """Return how many calls of a function were made."""
        return sum(call.function.name == function for call in self.plane.calls)


def wait_for(condition: Callable[[], object], command: subprocess.Popen[str]) -> None:
    """Return when the condition holds; fail where the command ends before."""
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        assert command.poll() is None, command.communicate()[0]
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.2)


@contextmanager
def serve_plane(root: Path, **options: Any) -> Iterator[Plane]:
    """Yield a plane for the tests of a module; a fault of the plane itself fails them."""
    if reason := why_not():
        pytest.skip(f"NO MODAL TESTS HERE: the machine allows no private mounts and processes ({reason})")
    with Plane(root, Options(interpreter=interpreter, **options)) as plane:
        yield plane
    assert not plane.cloud.journal.faults, "\n".join(plane.cloud.journal.faults)


def printed_json(text: str) -> Any:
    """Return the JSON object that a command printed among Modal's own lines."""
    begin, end = text.index("\n{\n") + 1, text.rindex("\n}") + 2
    return json.loads(text[begin:end])


StartHome = Callable[..., ModalHome]
