"""Who carries out the calls of a run: the one thing in which runners differ."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from pipeline.control.allowance import Amount
from pipeline.control.ledger import Caps
from pipeline.control.runs import RunDirectory
from pipeline.execute import Prepared
from schemas.artifacts import CallResult, StageCall
from schemas.base import Device
from schemas.events import Event
from schemas.request import CallRequest


class Caller(Protocol):
    """Carries out stage calls, each where it belongs.

    ``device`` is what calls are offered. ``workers`` calls may be under way at once: with one, a failure ends the run
    at once; with more, what does not depend on the failed call is still finished.
    """

    @property
    def device(self) -> Device:
        """The device that calls are offered."""

    @property
    def workers(self) -> int:
        """How many calls may be under way at once."""

    def carry_out(
        self,
        prepared: Prepared,
        request: CallRequest,
        run: RunDirectory,
        sink: Callable[[Event], None],
        cancelled: Callable[[], bool],
    ) -> CallResult:
        """Carry out one attempt and return how it ended; called from several threads at once.

        The attempt's events become a file of the run's record, and ``sink`` receives them, as they come or when it is
        over.
        """

    def found(self, call: StageCall) -> None:
        """Be told that a call of the run was found done: an attempt at it may have ended while nobody waited for it."""

    def bill(self) -> tuple[Caps, Amount] | None:
        """Return what the run may take and what it took until now; None where nothing is billed."""

    def sync(self) -> None:
        """Make what calls left visible here, and what is written here visible to calls; no file is open meanwhile."""
