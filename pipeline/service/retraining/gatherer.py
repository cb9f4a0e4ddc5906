"""Turns rows that came in many deliveries into one retraining, once there are enough and no more come."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from pipeline.core.errors import HoneError
from pipeline.service.refusal import Refused
from pipeline.service.store.pool import RowPool, Waiting
from schemas.retraining import GatherPolicy

POLL_SECONDS: Final = 2.0
"""How often is looked whether rows are enough."""

LONGEST_QUIETS: Final = 12
"""How many quiet times the oldest row waits where others never cease to come."""

AGAIN_SECONDS: Final = 600.0
"""How long a retraining that could not be started is left alone."""

_log = logging.getLogger(__name__)


@dataclass
class Gatherer:
    """The thread that looks after waiting rows.

    Args:
        pool: the rows.
        policy: how many are enough, and how long it has to be quiet.
        start_retraining: starts one of a name on its waiting rows, which it takes, and returns the run's id.
        clock: Unix time in seconds.
    """

    pool: RowPool
    policy: GatherPolicy
    start_retraining: Callable[[str], str]
    clock: Callable[[], float] = time.time
    _not_before: dict[str, float] = field(default_factory=dict)
    _stopping: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to look."""
        self._thread = threading.Thread(target=self._work, name="gatherer", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End; what waits, waits for the next start."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()

    def look(self) -> list[str]:
        """Start what is due and return the ids of its runs.

        Raises:
            SQLAlchemyError: the database is away.
        """
        now = self.clock()
        due = [waiting.name for waiting in self.pool.waiting() if self.is_due(waiting, now)]
        return [run for name in due if (run := self._start(name, now)) is not None]

    def is_due(self, waiting: Waiting, now: float) -> bool:
        """Tell whether a name's rows are enough, and quiet or old."""
        quiet = self.policy.quiet_minutes * 60.0
        is_quiet = now - waiting.last >= quiet or now - waiting.first >= LONGEST_QUIETS * quiet
        return waiting.rows >= self.policy.minimum_rows and is_quiet and now >= self._not_before.get(waiting.name, 0.0)

    def _start(self, name: str, now: float) -> str | None:
        try:
            run = self.start_retraining(name)
        except SQLAlchemyError:
            raise
        except Refused as refused:
            self._not_before[name] = now + (refused.retry_after or AGAIN_SECONDS)
            _log.warning("the new rows of %s wait: %s", name, refused.error.message)
            return None
        except Exception as error:  # noqa: BLE001 - other names' rows go on
            self._not_before[name] = now + AGAIN_SECONDS
            said = str(error) if isinstance(error, HoneError) else type(error).__name__
            _log.error("the new rows of %s start nothing: %s", name, said)
            return None
        _log.warning("the new rows of %s started run %s", name, run)
        return run

    def _work(self) -> None:
        while not self._stopping.is_set():
            try:
                self.look()
            except SQLAlchemyError as error:
                _log.error("the database does not answer: %s", type(error).__name__)
            self._stopping.wait(POLL_SECONDS)
