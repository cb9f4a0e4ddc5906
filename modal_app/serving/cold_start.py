"""How long each phase of a container's start takes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import psutil


@dataclass
class ColdStart:
    """Seconds by phase, in order. The first phase began with this process: Python's and the libraries' imports."""

    phases: dict[str, float] = field(default_factory=dict)

    @classmethod
    def begun(cls) -> ColdStart:
        """Return a start whose first phase ends now."""
        return cls({"imports": max(0.0, time.time() - psutil.Process().create_time())})

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Measure what is done meanwhile; the same phase may come again."""
        started = time.monotonic()
        try:
            yield
        finally:
            self.add(name, time.monotonic() - started)

    def add(self, name: str, seconds: float) -> None:
        """Add what was measured elsewhere."""
        self.phases[name] = self.phases.get(name, 0.0) + seconds

    @property
    def total(self) -> float:
        """Seconds in all."""
        return sum(self.phases.values())

    def __str__(self) -> str:
        parts = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in self.phases.items())
        return f"{parts}; {self.total:.1f} s in all"
