"""What the plane's own tests share."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.modal_plane.fixture import modal_plane, start_plane

__all__ = ["modal_plane", "start_plane"]

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Return a function that writes an app's code to a file and returns its path."""

    def write(code: str) -> Path:
        path = tmp_path / "code" / "subject.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(textwrap.dedent(code))
        return path

    return write
