"""The call context: what a stage may use while it runs and what must not change its result."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from pydantic import JsonValue

from pipeline.core.errors import BudgetError, Cancelled, ConfigError
from schemas.distributed import ALONE, Processes
from schemas.events import Event, EventKind

T = TypeVar("T")

PROGRESS_INTERVAL = 0.1
"""Seconds between two progress events of one bar."""


def _ignore(event: Event) -> None:
    """Drop the event: for calls that nobody watches."""


def _never() -> bool:
    return False


@dataclass(frozen=True)
class CallContext:
    """Allowance, cancellation, events and secrets of one stage call. Never fingerprinted.

    Args:
        call_id: the stage call's id; events carry it.
        sink: receives every event, in order.
        deadline: `time.monotonic` value after which the call must stop with what it has saved, or None.
        limit: the key of the run description that sets the deadline.
        cancelled: answers whether somebody asked to stop.
        secrets: values by name, as far as the runner provides them.
        renew: make the artifact again even if it is stored; the stored one stays until the new one is whole.
        restart: take nothing over from earlier attempts at it: neither their work nor what they spent.
        processes: how many a training may use.
    """

    call_id: str = "call"
    sink: Callable[[Event], None] = _ignore
    deadline: float | None = None
    limit: str = "constraints.max_hours"
    cancelled: Callable[[], bool] = _never
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    renew: bool = False
    restart: bool = False
    processes: Processes = ALONE

    def emit(self, kind: EventKind, message: str = "", /, **data: JsonValue) -> None:
        """Send one event."""
        self.sink(Event(time=time.time(), call_id=self.call_id, kind=kind, message=message, data=data))

    def warn(self, message: str, /, **data: JsonValue) -> None:
        """Send a warning: something the user should know and that does not stop the call."""
        self.emit("warning", message, **data)

    def check(self) -> None:
        """Stop here if somebody asked to, or the allowance is used up.

        Raises:
            Cancelled: the run was cancelled.
            BudgetError: the deadline has passed.
        """
        if self.cancelled():
            raise Cancelled("the run was cancelled", fix="run the same command again to go on")
        if self.deadline is not None and time.monotonic() >= self.deadline:
            raise BudgetError(
                f"what {self.limit} allows this run is used up; what was saved is kept",
                where=self.limit,
                fix=f"raise {self.limit} and run again to go on from the last checkpoint",
            )

    def secret(self, name: str) -> str:
        """Return a secret.

        Raises:
            ConfigError: the runner did not provide it.
        """
        try:
            return self.secrets[name]
        except KeyError:
            raise ConfigError(
                f"secret {name} is not set", where=name, fix=f"set the environment variable {name}"
            ) from None

    @contextmanager
    def progress(self, label: str, total: int) -> Iterator[Callable[[int], None]]:
        """Show a bar: yields ``advance(n)``, which also stops the call when it should stop."""
        done = 0
        last = float("-inf")
        self.emit("progress", label=label, done=0, total=total)

        def advance(count: int = 1) -> None:
            nonlocal done, last
            done += count
            now = time.monotonic()
            if now - last >= PROGRESS_INTERVAL or done >= total:
                last = now
                self.emit("progress", label=label, done=done, total=total)
            self.check()

        yield advance

    def track(self, items: Iterable[T], label: str, total: int) -> Iterator[T]:
        """Yield ``items`` while a bar advances."""
        with self.progress(label, total) as advance:
            for item in items:
                yield item
                advance(1)
