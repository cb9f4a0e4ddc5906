"""What all attempts at one artifact have taken, kept beside its work, so that a killed attempt is charged too."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError

from pipeline.core.measure import Meter
from schemas.artifacts import Cost
from schemas.events import Event

NOTHING = Cost(cpu_seconds=0.0, wall_seconds=0.0, peak_memory_bytes=0)

_NOTE_SECONDS = 1.0
"""Seconds between two notes; a killed attempt counts to the last event before one."""


class Spending:
    """Measures one attempt from its construction on and adds it to those before it.

    Args:
        path: where the sum is kept while the artifact is not finished.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._before = read_spent(path)
        self._meter = Meter()
        self._noted = time.monotonic()

    def total(self) -> Cost:
        """Return what this attempt and all before it took."""
        now = self._meter.cost()
        return Cost(
            cpu_seconds=round(self._before.cpu_seconds + now.cpu_seconds, 3),
            wall_seconds=round(self._before.wall_seconds + now.wall_seconds, 3),
            peak_memory_bytes=max(self._before.peak_memory_bytes, now.peak_memory_bytes),
        )

    def note(self) -> None:
        """Write the sum down; on a full disk what cannot be noted is not charged."""
        self._noted = time.monotonic()
        temporary = self._path.with_name(f".{self._path.name}.tmp")
        with contextlib.suppress(OSError):
            temporary.write_text(self.total().model_dump_json(), encoding="utf-8")
            temporary.replace(self._path)

    def watch(self, sink: Callable[[Event], None]) -> Callable[[Event], None]:
        """Return ``sink``, with the sum written down once a second while events pass."""

        def watched(event: Event) -> None:
            if time.monotonic() - self._noted >= _NOTE_SECONDS:
                self.note()
            sink(event)

        return watched


def read_spent(path: Path) -> Cost:
    """Return the sum that was written down; nothing where there is none or it cannot be read."""
    try:
        return Cost.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValidationError, UnicodeDecodeError):
        return NOTHING
