"""hone's packages lie in one folder, or the path that is in the way is named before anything is sent to Modal."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import modal_app

PROJECT = Path(__file__).resolve().parents[2]


def run(cwd: Path, path: list[Path], *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(str(entry) for entry in path)}
    command = [sys.executable, "-P", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd, env=environment)


@pytest.fixture
def decoys(tmp_path: Path) -> Path:
    for name in ("pipeline", "schemas"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise RuntimeError('the decoy was imported')\n")
    return tmp_path


def test_here_nothing_is_in_the_way() -> None:
    assert modal_app.shadowed() is None


def test_decoys_in_the_current_folder_do_no_harm(decoys: Path) -> None:
    done = run(decoys, [PROJECT, decoys], "-c", "import modal_app.images; print('its own')")
    assert (done.returncode, done.stdout) == (0, "its own\n"), done.stderr


@pytest.mark.slow
def test_the_current_folder_is_looked_in_last_where_it_shadows_a_package(decoys: Path) -> None:
    """``modal run -m`` puts it first, as an empty entry."""
    code = "import sys; sys.path.insert(0, ''); import modal_app.images; print(sys.path[-1] == '')"
    done = run(decoys, [PROJECT], "-c", code)
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("how", [("-c", "import modal_app.images"), ("-m", "modal", "run", "-m", "modal_app.images")])
def test_what_shadows_a_package_is_named_and_not_imported(decoys: Path, how: tuple[str, ...]) -> None:
    done = run(PROJECT.parent, [decoys, PROJECT], *how)
    assert done.returncode == 5
    assert done.stderr.startswith(f"error: package 'schemas' is found at {decoys / 'schemas'}, but hone's own is at")
    assert len(done.stderr.splitlines()) == 1
