"""The wheel, built from this tree, and folders of somebody else's packages of the same names."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent.parent
PACKAGES = ("schemas", "pipeline", "local_runner", "modal_app")


def build_wheel(folder: Path) -> Path:
    """Build the wheel below ``folder`` and return its path.

    A copy is built: building writes beside the sources, and would pack what is left of older builds.
    """
    source = folder / "source"
    for name in PACKAGES:
        shutil.copytree(PROJECT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copyfile(PROJECT / name, source / name)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    build = [*pip, "wheel", str(source), "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder / "dist")]
    subprocess.run(build, check=True, cwd=folder)
    return next((folder / "dist").glob("hone_llm-*.whl"))


def write_decoys(folder: Path) -> Path:
    """Write a ``pipeline`` and a ``schemas`` that must never be imported; return ``folder``."""
    for name in ("pipeline", "schemas"):
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text("raise RuntimeError('the decoy was imported')\n")
    return folder
