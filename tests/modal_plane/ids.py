"""Names for objects, refusals, and a wake-up call for those who wait on a change."""

from __future__ import annotations

import asyncio
import secrets
import string

from grpclib import GRPCError, Status

_LETTERS = string.ascii_letters + string.digits


def new_id(prefix: str) -> str:
    """Return an id in the form the client checks for: a prefix, a dash and 22 letters or digits."""
    return f"{prefix}-" + "".join(secrets.choice(_LETTERS) for _ in range(22))


def not_found(message: str) -> GRPCError:
    return GRPCError(Status.NOT_FOUND, message)


def invalid(message: str) -> GRPCError:
    return GRPCError(Status.INVALID_ARGUMENT, message)


def conflict(message: str) -> GRPCError:
    """The client raises its ConflictError for this status, which Volumes turn into a RuntimeError."""
    return GRPCError(Status.FAILED_PRECONDITION, message)


def exists(message: str) -> GRPCError:
    return GRPCError(Status.ALREADY_EXISTS, message)


class Changed:
    """Wakes everyone who waits. Used in one event loop, so look, then wait, loses no wake-up."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.Future[None]] = set()

    def notify(self) -> None:
        for future in self._waiting:
            if not future.done():
                future.set_result(None)

    async def wait(self, seconds: float) -> None:
        """Return at the next notify(), or after ``seconds``."""
        future = asyncio.get_running_loop().create_future()
        self._waiting.add(future)
        try:
            await asyncio.wait([future], timeout=max(seconds, 0.0))
        finally:
            self._waiting.discard(future)
