"""A thread that does again and again what shows that a container lives: renewing leases, keeping meters."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

_log = logging.getLogger(__name__)


class Pulse:
    """Use as a context manager. A beat that answers false has found that the work is no longer this container's."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._beats: list[Callable[[], bool]] = []
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pulse", daemon=True)

    @property
    def stopped(self) -> bool:
        """Whether a beat has asked for the work to stop."""
        return self._stopped.is_set()

    @contextmanager
    def beat(self, what: Callable[[], bool]) -> Iterator[None]:
        """Do ``what`` at every beat while this lasts."""
        with self._lock:
            self._beats.append(what)
        try:
            yield
        finally:
            with self._lock:  # waits for a beat under way, so that none comes after the end
                self._beats.remove(what)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(self._seconds):
            with self._lock:
                for beat in tuple(self._beats):
                    self._do(beat)

    def _do(self, beat: Callable[[], bool]) -> None:
        try:
            if not beat():
                self._stopped.set()
        except Exception:  # noqa: BLE001 - told, and done again at the next beat
            # The network may fail for a moment; a lease that could not be renewed in time is found taken later.
            _log.warning("a heartbeat failed and is tried again", exc_info=True)
