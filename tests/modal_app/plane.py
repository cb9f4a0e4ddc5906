"""The app on the loopback control plane: containers run under the Python of their image's environment."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import local_runner.environments as local
from pipeline.environments import environment_file, environment_names
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

    def start(self, *arguments: str | Path) -> subprocess.Popen[str]:
        """Begin ``modal run -m modal_app.main`` with these arguments."""
        words = ["run", "-m", "modal_app.main", *map(str, arguments)]
        return self.plane.start_modal(*words, cwd=self.folder, env=self.environment)

    def files(self, volume: str = "artifacts") -> dict[str, bytes]:
        """Return the committed files of one of the app's Volumes."""
        return self.plane.volumes[f"{APP}-{volume}"].files()


def printed_json(text: str) -> Any:
    """Return the JSON object that a command printed among Modal's own lines."""
    begin, end = text.index("\n{\n") + 1, text.rindex("\n}") + 2
    return json.loads(text[begin:end])


StartHome = Callable[..., ModalHome]
