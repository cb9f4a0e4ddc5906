"""A crew of workers: calls that are under way at once, each in a thread that waits for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from types import TracebackType
from typing import Self

from schemas.artifacts import CallResult, StageCall


class Crew:
    """Carries out calls side by side. A crew of one works in the caller's own thread, where signals arrive.

    Use as a context manager: at its end every call that was begun is waited for.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="call") if workers > 1 else None
        self._flight: dict[Future[CallResult], StageCall] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def __contains__(self, call_id: str) -> bool:
        return any(call.id == call_id for call in self._flight.values())

    @property
    def busy(self) -> bool:
        """Whether a call is under way, or ended and not yet taken."""
        return bool(self._flight)

    @property
    def has_room(self) -> bool:
        """Whether another call may be begun."""
        return len(self._flight) < self._workers

    def take(self, call: StageCall, work: Callable[[], CallResult]) -> None:
        """Begin a call."""
        if self._pool is not None:
            self._flight[self._pool.submit(work)] = call
            return
        ended: Future[CallResult] = Future()
        ended.set_result(work())
        self._flight[ended] = call

    def wait(self) -> Iterator[tuple[StageCall, CallResult]]:
        """Wait until a call ends and yield all that have.

        Raises:
            Exception: what a call's work raised; results are values, so this is a fault of the runner.
        """
        ended, _ = wait(self._flight, return_when=FIRST_COMPLETED)
        for future in ended:
            yield self._flight.pop(future), future.result()
