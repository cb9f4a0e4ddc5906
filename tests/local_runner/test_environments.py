"""Local environments: where they are, when they exist, and how they are built."""

from __future__ import annotations

import base64
import hashlib
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import psutil
import pytest

import local_runner.environments as local
import pipeline.environments as pinned
from pipeline.core.errors import EnvironmentMissing
from pipeline.core.workspace import hash_file


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "environments"
    monkeypatch.setenv("HONE_ENVIRONMENTS", str(folder))
    return folder


def test_the_main_environment_is_this_one() -> None:
    assert local.python("main") == Path(sys.executable)


def test_the_default_place_is_beside_this_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HONE_ENVIRONMENTS", raising=False)
    assert local.environments_root() == Path(sys.prefix) / "hone-environments"


def test_an_environment_without_its_marker_does_not_exist(root: Path) -> None:
    wanted = local.environment("serve-vllm")
    assert wanted.path == root / f"serve-vllm-{wanted.digest[:12]}"
    wanted.python.parent.mkdir(parents=True)
    wanted.python.touch()
    with pytest.raises(EnvironmentMissing) as caught:
        local.python("serve-vllm")
    assert caught.value.fix == "hone env create serve-vllm"
    assert [(item.name, item.installed) for item in local.list_environments()] == [
        ("main", True),
        ("optimize-legacy", False),
        ("serve-vllm", False),
    ]
    (wanted.path / local.MARKER).write_text("{}", encoding="utf-8")
    assert local.python("serve-vllm") == wanted.python


def _wheel(folder: Path, name: str) -> Path:
    """Write a wheel with one module that says where it is; the record format is that of the wheel standard."""
    info = f"{name}-1.0.dist-info"
    members = {
        f"{name}.py": f"NAME = {name!r}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = ""
    for path, text in members.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")
        record += f"{path},sha256={digest},{len(text.encode())}\n"
    members[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n"
    path = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for member, text in members.items():
            archive.writestr(member, text)
    return path


@pytest.fixture
def tool(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A pinned file of two local wheels, one of them by its bytes; pip looks nowhere else."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    _wheel(wheels, "plain")
    digest = hash_file(_wheel(wheels, "exact"))
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setattr(pinned, "_HERE", tmp_path)
    (tmp_path / "main.cpu.txt").write_text("plain==1.0\n", encoding="utf-8")
    file = tmp_path / "tool.cpu.txt"
    file.write_text(f"exact==1.0 --hash=sha256:{digest}\nplain==1.0\n", encoding="utf-8")
    return file


@pytest.mark.slow
def test_create_builds_what_the_file_says_and_again_only_if_half_made(tool: Path) -> None:
    target = local.environment("tool")
    target.path.mkdir(parents=True)
    (target.path / "leftover").touch()

    seen: list[tuple[str, int, int]] = []
    made = local.create("tool", lambda label, done, total: seen.append((label, done, total)))

    assert made.installed
    assert not (made.path / "leftover").exists()
    code = "import plain, exact; print(plain.NAME, exact.NAME)"
    answer = subprocess.run([str(made.python), "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "plain exact"
    assert seen[-1] == ("tool: ready", 2, 2)

    marker = made.path / local.MARKER
    before = marker.stat().st_mtime_ns
    local.create("tool")
    assert marker.stat().st_mtime_ns == before


BUILD = """
import sys
from pathlib import Path
from local_runner.environments import LocalEnvironment, _Builder
here = Path(sys.argv[1])
target = LocalEnvironment("tool", "0" * 64, here, Path(sys.executable), installed=False)
code = "import os, sys, time; print(os.getpid(), file=open(sys.argv[1], 'w'), flush=True); time.sleep(300)"
_Builder(target, lambda *_: None)._run([sys.executable, "-c", code, str(here / "pid")], 1)
"""


def test_a_step_of_a_killed_build_dies_with_it(tmp_path: Path) -> None:
    build = subprocess.Popen([sys.executable, "-c", BUILD, str(tmp_path)], cwd=Path(__file__).parents[2])
    file = tmp_path / "pid"
    while not (file.is_file() and file.read_text().strip()):
        assert build.poll() is None
        time.sleep(0.05)
    step = psutil.Process(int(file.read_text()))
    build.kill()
    build.wait()
    step.wait(timeout=30)


@pytest.mark.slow
def test_a_package_with_other_bytes_is_refused(tool: Path) -> None:
    tool.write_text(f"exact==1.0 --hash=sha256:{'0' * 64}\n", encoding="utf-8")
    with pytest.raises(EnvironmentMissing) as caught:
        local.create("tool")
    assert "DO NOT MATCH THE HASHES" in (caught.value.detail or "")
    assert not local.environment("tool").installed
