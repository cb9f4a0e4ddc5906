"""The engine's log, passed on to the container's, where ``modal app logs`` shows it."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

POLL_SECONDS = 0.5


@contextmanager
def passed_on(path: Path) -> Iterator[None]:
    """Write what is added to a file to standard output while this lasts, whole lines as they come."""
    ended = threading.Event()

    def follow() -> None:
        with path.open(encoding="utf-8", errors="replace") as log:
            while True:
                last = ended.wait(POLL_SECONDS)
                if text := log.read():
                    sys.stdout.write(text)
                    sys.stdout.flush()
                if last:
                    return

    thread = threading.Thread(target=follow, name="engine-log", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
