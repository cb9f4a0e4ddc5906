"""One function's containers and the inputs that wait for them: how many run, who gets what, who may end."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING

from modal_proto import api_pb2

from .ids import Changed

if TYPE_CHECKING:
    from .calls import Input, Result
    from .cloud import Cloud
    from .containers import Container
    from .functions import Function

POLL = 10.0
"""Seconds until a container without input is answered with nothing, so that it asks again."""


class Pool:
    """The containers of one function, or of one variant of it."""

    def __init__(self, cloud: Cloud, function: Function) -> None:
        self._cloud = cloud
        self.function = function
        self.pending: deque[Input] = deque()
        self.containers: list[Container] = []
        self.requests = 0
        self.last_request = time.monotonic()
        self.closed = False
        self.changed = Changed()

    @property
    def live(self) -> list[Container]:
        return [one for one in self.containers if not one.ended]

    @property
    def limit(self) -> int:
        most = self._cloud.options.max_containers
        return min(self.function.max_containers or most, most)

    def submit(self, one: Input, first: bool = False) -> None:
        """Queue an input, at the front where it was tried before."""
        if one.finished:
            return
        if first:
            self.pending.appendleft(one)
        else:
            self.pending.append(one)
        self.scale()
        self.changed.notify()

    def withdraw(self, one: Input) -> None:
        if one in self.pending:
            self.pending.remove(one)

    def scale(self) -> None:
        """Start the containers that waiting inputs, waiting requests and min_containers ask for."""
        if self.closed:
            return
        usable = [one for one in self.live if one.usable and one.generation == self.function.generation]
        size = self.function.concurrency
        free = sum(size - len(one.running) for one in usable)
        if self.function.definition.is_server:
            # One at a time, the old before the new: they would listen on the same port of the machine.
            wanted = 1 if (self.requests or self.function.min_containers) and len(self.live) == len(usable) else 0
        else:
            missing = max(len(self.pending) - free, 0)
            wanted = max(self.function.min_containers, len(usable) + -(-missing // size))
        for _ in range(min(wanted, self.limit) - len(usable)):
            self.containers.append(self._cloud.start_container(self))

    def _idle_window(self) -> float:
        return min(self.function.scaledown_window or 60, self._cloud.options.idle_seconds)

    def _superfluous(self, container: Container, since: float) -> bool:
        if container.stopping or self.closed or container.generation != self.function.generation:
            return True
        idle = time.monotonic() - since > self._idle_window()
        return idle and not container.running and len(self.live) > self.function.min_containers

    async def take(self, container: Container, batch: int, linger: float) -> list[Input] | None:
        """Wait for inputs for a container; None tells it to end."""
        since, until = time.monotonic(), time.monotonic() + POLL
        while time.monotonic() < until:
            if self._superfluous(container, since if not container.running else time.monotonic()):
                container.retiring = True
                return None
            if self.pending:
                if batch and len(self.pending) < batch:
                    await self.changed.wait(linger)
                taken = [self.pending.popleft() for _ in range(min(max(batch, 1), len(self.pending)))]
                if taken:
                    for one in taken:
                        self._begin(one, container)
                    return taken
            await self.changed.wait(min(until - time.monotonic(), 0.5))
        return []

    def counts(self, container: Container, result: Result) -> bool:
        """Return whether a container's output is the call's."""
        return True

    def _begin(self, one: Input, container: Container) -> None:
        one.started_at = time.time()
        container.running[one.id] = one
        loop = asyncio.get_running_loop()
        one.timer = loop.call_later(self.function.timeout, self._time_out, one, container)

    def _time_out(self, one: Input, container: Container) -> None:
        from .calls import Result

        if container.running.pop(one.id, None) is None or one.finished:
            return
        container.timed_out = True
        text = f"Task's current input {one.id} hit its timeout of {self.function.timeout}s"
        self._cloud.calls.settle(one, Result(status=Result.GENERIC_STATUS_TIMEOUT, exception=text))
        container.kill()

    def container_ended(self, container: Container, killed: bool, reason: str) -> None:
        """Give back what an ended container held, and start another where inputs wait."""
        from .calls import Result

        held, container.running = list(container.running.values()), {}
        for one in held:
            if one.timer:
                one.timer.cancel()
            if killed or container.timed_out:
                one.preemptions += 1
                self._cloud.calls.again(one)
            else:
                failure = container.failure or Result(status=Result.GENERIC_STATUS_FAILURE, exception=reason)
                self._cloud.calls.settle(one, failure, _format(container.failure))
        if not container.ready and not killed and not container.stopping:
            failure = container.failure or Result(status=Result.GENERIC_STATUS_INIT_FAILURE, exception=reason)
            self.fail_all(failure)
        self.changed.notify()
        self.scale()

    def fail_all(self, failure: Result) -> None:
        """A container could not start: nor would the next, so every waiting input fails with what it said."""
        waiting, self.pending = list(self.pending), deque()
        for one in waiting:
            one.failures = self.function.retries
            self._cloud.calls.settle(one, failure, _format(failure))

    def close(self) -> None:
        """Take no more inputs and end the containers."""
        self.closed = True
        self.changed.notify()


def _format(failure: Result | None) -> int:
    return int(api_pb2.DATA_FORMAT_PICKLE if failure and failure.data else api_pb2.DATA_FORMAT_UNSPECIFIED)
