"""Who carries jobs out: the one thing in which the hosts of the service differ."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from schemas.job import JobMessage, JobOrder, JobResult


class JobRunner(Protocol):
    """Carries out jobs, each as a run that the controller makes; a job that was carried out in part goes on."""

    def carry_out(self, order: JobOrder, tell: Callable[[JobMessage], None], stopped: Callable[[], bool]) -> JobResult:
        """Carry a job out and return how it ended.

        ``tell`` is called with what happens, in order, from this thread. Once ``stopped`` answers true the run saves
        what it has and ends with the error ``cancelled``; asked for again, it goes on from there.

        Raises:
            HoneError: it could not even be begun, or its process ended without a word.
        """
