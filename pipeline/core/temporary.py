"""Private folders for as long as a process lives: those of dead processes are removed by the next that needs one."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil


@contextmanager
def private_folder(kind: str) -> Iterator[Path]:
    """Yield a new folder ``hone-<kind>-<process>-...`` of the system's temporary folder, gone at the end.

    A process that was killed leaves its folder; any later call with the same kind removes it.
    """
    root = Path(tempfile.gettempdir())
    _sweep(root, kind)
    folder = Path(tempfile.mkdtemp(prefix=f"hone-{kind}-{os.getpid()}-", dir=root))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _sweep(root: Path, kind: str) -> None:
    pattern = re.compile(rf"hone-{re.escape(kind)}-(\d+)-")
    for path in root.glob(f"hone-{kind}-*"):
        found = pattern.match(path.name)
        if found is not None and not psutil.pid_exists(int(found[1])):
            shutil.rmtree(path, ignore_errors=True)
