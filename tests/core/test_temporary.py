"""Private folders: gone at the end, and those of the dead with the next."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.core.temporary import private_folder


@pytest.fixture(autouse=True)
def _root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


def test_a_folder_lasts_as_long_as_its_context(tmp_path: Path) -> None:
    with private_folder("engine") as folder:
        assert folder.parent == tmp_path
        (folder / "file").touch()
        assert folder.stat().st_mode & 0o077 == 0
    assert list(tmp_path.iterdir()) == []


def test_folders_of_the_dead_are_removed_and_those_of_the_living_and_of_other_kinds_kept(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", "pass"])
    ended.wait()
    names = [
        f"hone-engine-{ended.pid}-a",
        f"hone-engine-{os.getppid()}-b",
        f"hone-packages-{ended.pid}-c",
        "hone-engine-x",
    ]
    for name in names:
        (tmp_path / name).mkdir()
    with private_folder("engine") as folder:
        left = sorted(path.name for path in tmp_path.iterdir() if path != folder)
    assert left == sorted(names[1:])
