"""Local environments: built from their pinned file, found by its digest, and used through their own Python.

An environment lives in ``<sys.prefix>/hone-environments/<name>-<digest>`` (``HONE_ENVIRONMENTS`` names another
folder) and exists once its marker file is there, which is written last. Another file makes another environment.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from pipeline.core.errors import EnvironmentMissing
from pipeline.core.paths import expand
from pipeline.core.process import describe_exit, start_kept, stop_kept
from pipeline.core.workspace import write_atomic
from pipeline.environments import TORCH_CPU_INDEX, environment_digest, environment_names, requirements

CURRENT = "main"
"""The environment that hone itself runs in; it is not built by hone."""

MARKER = "hone-environment.json"
DIGEST_LENGTH = 12
POLL_SECONDS = 0.5
GRACE_SECONDS = 5.0
"""How long an interrupted step may take to end by itself."""

_LOG_TAIL = 3000

Progress = Callable[[str, int, int], None]
"""Receives a label, what is done and the total, in packages."""


@dataclass(frozen=True)
class LocalEnvironment:
    """An environment as this machine has it; ``python`` need not exist where ``installed`` is false."""

    name: str
    digest: str
    path: Path
    python: Path
    installed: bool


def environments_root() -> Path:
    """Return the folder of all local environments."""
    chosen = os.environ.get("HONE_ENVIRONMENTS")
    return expand(chosen).absolute() if chosen else Path(sys.prefix) / "hone-environments"


def environment(name: str) -> LocalEnvironment:
    """Return where environment ``name`` is, or would be.

    Raises:
        EnvironmentMissing: there is no environment of this name at all.
    """
    digest = environment_digest(name)
    if name == CURRENT:
        return LocalEnvironment(name, digest, Path(sys.prefix), Path(sys.executable), installed=True)
    path = environments_root() / f"{name}-{digest[:DIGEST_LENGTH]}"
    return LocalEnvironment(name, digest, path, path / "bin" / "python", (path / MARKER).is_file())


def list_environments() -> tuple[LocalEnvironment, ...]:
    """Return every environment that hone knows, installed or not, sorted by name."""
    return tuple(environment(name) for name in environment_names())


def python(name: str) -> Path:
    """Return the interpreter of environment ``name``.

    Raises:
        EnvironmentMissing: it is not installed.
    """
    found = environment(name)
    if not found.installed:
        raise EnvironmentMissing("this environment is not installed", where=name, fix=f"hone env create {name}")
    return found.python


def _unwatched(_label: str, _done: int, _total: int) -> None:
    """Show nothing."""


def create(name: str, progress: Progress = _unwatched) -> LocalEnvironment:
    """Build environment ``name`` unless it is there; a half-made one is made again.

    pip's own configuration holds (indexes, proxies, local wheels).

    Raises:
        EnvironmentMissing: it could not be built; the detail is the end of pip's output.
    """
    wanted = environment(name)
    if wanted.installed:
        return wanted
    wanted.path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(wanted.path.with_name(f"{wanted.path.name}.lock")):
        if not environment(name).installed:
            shutil.rmtree(wanted.path, ignore_errors=True)
            _Builder(wanted, progress).build()
    return environment(name)


@dataclass(frozen=True)
class _Builder:
    target: LocalEnvironment
    progress: Progress

    def build(self) -> None:
        lines = requirements(self.target.name)
        total = len(lines)
        self.progress(f"{self.target.name}: creating", 0, total)
        self._run([sys.executable, "-m", "venv", str(self.target.path)], total)
        torch = [line for line in lines if re.match(r"torch==", line)]
        if torch:
            self._install_torch(torch, total)
        hashed = [line for line in lines if "--hash" in line]
        self._pip_requirements([line for line in lines if line not in hashed], total)
        if hashed:
            self._pip_requirements(hashed, total, "--require-hashes")
        record = {"name": self.target.name, "digest": self.target.digest, "requirements": list(lines)}
        write_atomic(self.target.path / MARKER, json.dumps(record, indent=2) + "\n")
        self.progress(f"{self.target.name}: ready", total, total)

    def _install_torch(self, lines: Sequence[str], total: int) -> None:
        """Take the CPU build from PyTorch's index; where that fails, from where pip is configured to look."""
        index = ["--index-url", TORCH_CPU_INDEX, "--timeout", "10", "--retries", "0"]
        try:
            self._pip([*index, *lines], total)
        except EnvironmentMissing:
            self._pip(lines, total)

    def _pip_requirements(self, lines: Sequence[str], total: int, *options: str) -> None:
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
            file.write("".join(f"{line}\n" for line in lines))
            file.flush()
            self._pip([*options, "-r", file.name], total)

    def _pip(self, arguments: Sequence[str], total: int) -> None:
        options = ["--no-deps", "--no-input", "--progress-bar", "off", "--disable-pip-version-check"]
        self._run([str(self.target.python), "-m", "pip", "install", *options, *arguments], total)

    def _run(self, command: Sequence[str], total: int) -> None:
        """Run one step; progress is the number of packages that are in place. It ends with this process."""
        with tempfile.TemporaryFile("w+", errors="replace") as log:
            process = start_kept(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
            try:
                while process.poll() is None:
                    self.progress(f"{self.target.name}: installing", min(self._packages(), total), total)
                    time.sleep(POLL_SECONDS)
            finally:
                status = stop_kept(process, GRACE_SECONDS)
            if status != 0:
                log.seek(0)
                raise EnvironmentMissing(
                    f"building the environment failed: {describe_exit(status)}",
                    where=self.target.name,
                    fix="check the network and pip's configuration, then run the command again; where venv "
                    "itself fails, install the system's package for it (Debian: python3-venv)",
                    detail=log.read()[-_LOG_TAIL:],
                )

    def _packages(self) -> int:
        return sum(1 for _ in _site_packages(self.target.path))


def _site_packages(path: Path) -> Iterator[Path]:
    return path.glob("lib/python*/site-packages/*.dist-info")
