"""The smoke run, carried out once for all tests that look at its end."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.bbq import add_toxicity
from tests.support.smoke import write_smoke

GATE_FAILED = 10


@dataclass(frozen=True)
class Finished:
    """A finished run: its description, its workspace, what the command printed and its exit code."""

    spec: Path
    workspace: Path
    code: int
    printed: dict[str, Any]


def hone(*arguments: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    """Run the command as a user does."""
    return subprocess.run(
        [sys.executable, "-m", "local_runner.main", *arguments],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def run_smoke(spec: Path, workspace: Path, *arguments: str) -> Finished:
    """Carry out a description and read what ``--json`` printed."""
    done = hone("run", str(spec), "--workspace", str(workspace), "--json", *arguments)
    assert done.stdout.strip(), done.stderr[-3000:]
    return Finished(spec, workspace, done.returncode, json.loads(done.stdout))


def write_probed(folder: Path) -> Path:
    """Write the smoke run's description with a probe."""
    description = write_smoke(folder)
    add_toxicity(description)
    return description


@pytest.fixture(scope="session")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """Return the finished smoke run, which measures bias, too."""
    folder = tmp_path_factory.mktemp("smoke")
    finished = run_smoke(write_probed(folder), folder / "workspace")
    assert finished.code == GATE_FAILED, finished.printed
    return finished
