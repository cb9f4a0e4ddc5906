"""`hone doctor`: what this machine lacks, and how to get it."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil

from local_runner.environments import CURRENT, list_environments
from local_runner.main import shadowed
from local_runner.pins import PINS_FIX, differing, shown
from local_runner.writable import existing, unwritable
from pipeline.environments import requirements

Level = Literal["ok", "warning", "error"]

PYTHON = (3, 11)
NEEDED_DISK = 4 << 30
NEEDED_MEMORY = 4 << 30


@dataclass(frozen=True)
class Check:
    """One thing that was looked at; ``fix`` is empty where nothing has to be done."""

    name: str
    level: Level
    found: str
    fix: str = ""


def examine(root: Path) -> list[Check]:
    """Return every check, in the order in which a newcomer should mend them."""
    return [_python(), _packages_in_place(), _pins(), *_environments(), _disk(root), _memory(), _writable(root)]


def _python() -> Check:
    version = ".".join(str(part) for part in sys.version_info[:3])
    if sys.version_info[:2] == PYTHON:
        return Check("python", "ok", version)
    return Check("python", "warning", version, "the pinned environments were measured with Python 3.11")


def _packages_in_place() -> Check:
    problem = shadowed()
    return Check("packages", "ok", "hone's own") if problem is None else Check("packages", "error", problem, problem)


def _pins() -> Check:
    wrong = differing()
    if wrong:
        return Check("main environment", "error", shown(wrong), PINS_FIX)
    return Check("main environment", "ok", f"{len(requirements(CURRENT))} packages as pinned")


def _environments() -> Iterator[Check]:
    for found in list_environments():
        if found.name != CURRENT:
            level: Level = "ok" if found.installed else "warning"
            fix = "" if found.installed else f"hone env create {found.name}"
            yield Check(f"{found.name} environment", level, "installed" if found.installed else "not installed", fix)


def _disk(root: Path) -> Check:
    free = shutil.disk_usage(existing(root)).free
    found = f"{free / 2**30:.1f} GiB free"
    return (
        Check("disk", "ok", found)
        if free > NEEDED_DISK
        else Check("disk", "warning", found, "free some space; hone gc")
    )


def _memory() -> Check:
    free = psutil.virtual_memory().available
    found = f"{free / 2**30:.1f} GiB free, {os.cpu_count()} cores"
    if free > NEEDED_MEMORY:
        return Check("memory", "ok", found)
    return Check("memory", "warning", found, "vLLM alone takes about 3 GB")


def _writable(root: Path) -> Check:
    problem = unwritable(root)
    if problem is None:
        return Check("workspace", "ok", str(root))
    return Check("workspace", "error", f"{root}: {problem}", "name another folder with --workspace")
