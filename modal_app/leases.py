"""Leases among containers that share no file system: entries of a Dict that expire unless they are renewed.

The n-th holder of an artifact's lease has the key ``<artifact>#<n>``. Each is created at most once (``skip_if_exists``
is the only compare-and-set that a Dict has), by the one that finds holder n-1 done, expired, or itself: an input that
was preempted comes back under the same id and need not wait for its own lease to expire.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from modal_app.pulse import Pulse
from pipeline.core.leases import POLL_SECONDS, nothing
from schemas.base import ArtifactRef


class Entries(Protocol):
    """What a lease needs of a `modal.Dict`."""

    def get(self, key: str, default: Any = None) -> Any:
        """Return a value."""

    def put(self, key: str, value: Any, *, skip_if_exists: bool = False) -> bool:
        """Set a value; with ``skip_if_exists`` only where there is none, which the answer tells."""

    def pop(self, key: str, default: Any = None) -> Any:
        """Remove a value and return it."""


@dataclass(frozen=True)
class DictLeases:
    """Leases in a Dict.

    Args:
        entries: the Dict.
        holder: who asks: the id of the input that a container works on.
        seconds: how long a lease is good without being renewed.
        pulse: renews what is held, and is told where it was lost.
        entered: called when a lease is held, before anything is read under it.
        leaving: called before a lease is let go, so that others see what was written under it.
        clock: unix seconds.
    """

    entries: Entries
    holder: str
    seconds: float
    pulse: Pulse
    entered: Callable[[], None] = nothing
    leaving: Callable[[], None] = nothing
    clock: Callable[[], float] = field(default=time.time)

    @contextmanager
    def hold(
        self, ref: ArtifactRef, on_wait: Callable[[], None] = nothing, check: Callable[[], None] = nothing
    ) -> Iterator[None]:
        """See `Leases.hold`."""
        name = f"{ref.stage}/{ref.fingerprint}"
        with self.named(name, on_wait, check):
            yield

    @contextmanager
    def named(
        self, name: str, on_wait: Callable[[], None] = nothing, check: Callable[[], None] = nothing
    ) -> Iterator[None]:
        """Hold the lease of that name: an artifact's, a run's, the registry's."""
        number = self._take(name)
        if number is None:
            on_wait()
            while (number := self._take(name)) is None:
                check()
                time.sleep(POLL_SECONDS)
        key = f"{name}#{number}"
        with self.pulse.beat(lambda: self._renew(name, number)):
            try:
                self.entered()
                yield
                self.leaving()
            finally:
                self.entries.put(key, {"holder": self.holder, "expires": 0.0})

    @contextmanager
    def unheld(self, ref: ArtifactRef) -> Iterator[bool]:
        """See `Leases.unheld`."""
        if self.is_held(ref):
            yield False
            return
        with self.hold(ref):
            yield True

    def is_held(self, ref: ArtifactRef) -> bool:
        """See `Leases.is_held`."""
        return self.is_named_held(f"{ref.stage}/{ref.fingerprint}")

    def is_named_held(self, name: str) -> bool:
        """Tell whether somebody holds the lease of that name."""
        _, entry = self._last(name)
        return entry is not None and bool(entry["expires"] > self.clock())

    def _last(self, name: str) -> tuple[int, dict[str, Any] | None]:
        """Return the number and the entry of the last holder; -1 and None where there was none."""
        number = int(self.entries.get(name, 0))  # a hint that is never too large
        entry = self.entries.get(f"{name}#{number}")
        if entry is None:
            return -1, None
        while (later := self.entries.get(f"{name}#{number + 1}")) is not None:
            number, entry = number + 1, later
        return number, entry

    def _take(self, name: str) -> int | None:
        """Become the next holder where that is allowed; None where it is not."""
        number, entry = self._last(name)
        if entry is not None and entry["expires"] > self.clock() and entry["holder"] != self.holder:
            return None
        if not self.entries.put(f"{name}#{number + 1}", self._entry(), skip_if_exists=True):
            return None
        self.entries.put(name, number + 1)
        return number + 1

    def _renew(self, name: str, number: int) -> bool:
        """Renew a lease; false where somebody else has taken it over meanwhile."""
        if self.entries.get(f"{name}#{number + 1}") is not None:
            return False
        self.entries.put(f"{name}#{number}", self._entry())
        return True

    def _entry(self) -> dict[str, Any]:
        return {"holder": self.holder, "expires": self.clock() + self.seconds}
