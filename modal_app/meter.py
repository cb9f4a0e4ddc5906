"""Meters: what a container has taken so far, kept in a Dict while it lives, so that a killed one is charged too.

The n-th attempt at a call has a key of its own, so that containers which are alive at once never overwrite each other.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Self

from modal_app.leases import Entries
from schemas.ledger import Attempt, AttemptKind, Resources

UPKEEP = "upkeep"
"""Owner of the meters of what no run is charged with: promotions, pushes, garbage, preflights that found no run."""

PREFLIGHT = "preflight"
"""What attempts at preparing a run are called."""


def meter_key(owner: str, call_id: str, number: int) -> str:
    """Return the key of one attempt at a call; ``owner`` is a run, or what is served."""
    return f"meter:{owner}:{call_id}#{number}"


class Meter:
    """The record of one attempt, renewed at every beat. Use as a context manager; it ends the record.

    Args:
        state: the Dict.
        owner: the run that is charged.
        call_id: what the container does.
        attempt: names the attempt among those at this call.
        resources: what the container is billed for.
        kind: what the call is.

    ``earlier`` has the attempts before this one.
    """

    def __init__(
        self, state: Entries, owner: str, call_id: str, attempt: str, resources: Resources, kind: AttemptKind = "stage"
    ) -> None:
        self._state = state
        self._owner, self._call_id = owner, call_id
        self._key = ""
        self._lock = threading.Lock()
        self.earlier: tuple[Attempt, ...] = ()
        now = time.time()
        self._record = Attempt(
            **resources.model_dump(include=set(Resources.model_fields)),
            call_id=call_id,
            attempt=attempt,
            kind=kind,
            started=now,
            last_seen=now,
        )

    def __enter__(self) -> Self:
        with self._lock:
            self._key = self._take_key()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        now = time.time()
        self._put(self._record.model_copy(update={"last_seen": now, "ended": now}))

    def beat(self) -> bool:
        """Write down that the container lives."""
        self._record = self._record.model_copy(update={"last_seen": time.time()})
        self._put(self._record)
        return True

    def charge_to(self, owner: str) -> None:
        """Have ``owner`` charged with this attempt, from its beginning: who that is was not known before."""
        with self._lock:
            before, self._owner = self._key, owner
            self._key = self._take_key()
            self._state.pop(before, None)

    def _take_key(self) -> str:
        """Write the record under the first key that nobody has."""
        while True:
            self.earlier = tuple(read_meters(self._state, self._owner, (self._call_id,)))
            key = meter_key(self._owner, self._call_id, len(self.earlier))
            if self._state.put(key, self._record.model_dump(mode="json"), skip_if_exists=True):
                return key

    def _put(self, record: Attempt) -> None:
        with self._lock:
            self._state.put(self._key, record.model_dump(mode="json"))


def read_meters(state: Entries, owner: str, call_ids: Iterable[str]) -> Iterator[Attempt]:
    """Yield every attempt at these calls that was charged to ``owner``, those of a call in their order."""
    for call_id in call_ids:
        number = 0
        while (record := state.get(meter_key(owner, call_id, number))) is not None:
            yield Attempt.model_validate(record)
            number += 1
