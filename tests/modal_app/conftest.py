"""What tests of the app on the loopback control plane share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.modal_app.plane import ModalHome, StartHome, interpreter
from tests.modal_plane.fixture import modal_plane, start_plane
from tests.modal_plane.server import Plane

__all__ = ["modal_plane", "start_plane"]


@pytest.fixture
def start_home(start_plane: Callable[..., Plane], tmp_path: Path) -> StartHome:
    """Return a function that starts a plane with given options and returns the app on it."""

    def start(settings: dict[str, str] | None = None, **options: Any) -> ModalHome:
        return ModalHome(start_plane(interpreter=interpreter, **options), tmp_path, settings or {})

    return start
