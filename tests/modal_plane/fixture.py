"""The fixtures: ``from tests.modal_plane.fixture import modal_plane, start_plane`` in a conftest.py."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .server import Plane

ISOLATE = Path(__file__).with_name("isolate.py")


@functools.cache
def why_not() -> str:
    """Return why this machine cannot run containers, empty where it can."""
    if sys.platform != "linux":
        return "mount namespaces are Linux's"
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "root")
        (root / "proc").mkdir(parents=True)
        binds = []
        for name in ("usr", "lib", "lib64", "bin"):
            if Path("/", name).is_symlink():
                (root / name).symlink_to(Path("/", name).readlink())
            elif Path("/", name).is_dir():
                (root / name).mkdir()
                binds.append((f"/{name}", f"/{name}", True))
        spec = {"root": str(root), "binds": binds, "cwd": "/", "argv": ["/bin/true"], "env": {}}
        Path(folder, "spec.json").write_text(json.dumps(spec))
        done = subprocess.run(
            [sys.executable, "-I", "-S", str(ISOLATE), str(Path(folder, "spec.json")), str(os.getpid())],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    return "" if done.returncode == 0 else done.stderr.strip() or f"exit status {done.returncode}"


@pytest.fixture
def start_plane(tmp_path: Path) -> Iterator[Callable[..., Plane]]:
    """Return a function that starts a plane with given options; all end with the test."""
    if reason := why_not():
        pytest.skip(f"NO MODAL TESTS HERE: the machine allows no private mounts and processes ({reason})")
    from .cloud import Options
    from .server import Plane

    planes: list[Plane] = []

    def start(**options: Any) -> Plane:
        plane = Plane(tmp_path / f"plane-{len(planes)}", Options(**options)).start()
        planes.append(plane)
        return plane

    yield start
    for plane in planes:
        plane.stop()
    faults = [fault for plane in planes for fault in plane.cloud.journal.faults]
    assert not faults, "\n".join(faults)


@pytest.fixture
def modal_plane(start_plane: Callable[..., Plane]) -> Plane:
    """Return a running plane with the default options."""
    return start_plane()
