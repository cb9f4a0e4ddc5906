"""The wheel, installed beside other packages of the same names, runs its own code or says what is in the way."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder into which the wheel, built from this tree, is installed."""
    folder = tmp_path_factory.mktemp("wheel")
    source = (
        folder / "source"
    )  # a copy: building writes beside the sources, and would pack what is left of older builds
    for name in ("schemas", "pipeline", "local_runner"):
        shutil.copytree(PROJECT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copyfile(PROJECT / name, source / name)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    build = [*pip, "wheel", str(source), "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder / "dist")]
    subprocess.run(build, check=True, cwd=folder)
    wheel = next((folder / "dist").glob("hone_llm-*.whl"))
    subprocess.run([*pip, "install", "--no-deps", "--target", str(folder / "site"), str(wheel)], check=True, cwd=folder)
    return folder / "site"


@pytest.fixture
def decoys(tmp_path: Path) -> Path:
    """Return a folder with a ``pipeline`` and a ``schemas`` of somebody else's."""
    for name in ("pipeline", "schemas"):
        (tmp_path / "decoys" / name).mkdir(parents=True)
        (tmp_path / "decoys" / name / "__init__.py").write_text("raise RuntimeError('the decoy was imported')\n")
    return tmp_path / "decoys"


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
        "pipeline/report/templates/report.html",
    ):
        assert (installed / name).is_file(), name


def test_what_shadows_a_package_is_named(installed: Path, decoys: Path) -> None:
    done = hone([decoys, installed], decoys, "env", "list")
    assert done.returncode == 5
    assert str(decoys / "schemas") in done.stderr
    assert "Traceback" not in done.stderr
