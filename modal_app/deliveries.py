"""Webhook deliveries that were taken, in a Dict that every container of the webhook sees.

A delivery's n-th claim has the key ``<id>#<n>``, created at most once (``skip_if_exists``) by the one that finds claim
n-1 ended.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from modal_app.leases import Entries
from pipeline.service.deliveries import KEEP, PENDING


@dataclass(frozen=True)
class DictDeliveries:
    """See `pipeline.service.deliveries.Deliveries`."""

    state: Entries

    def claim(self, delivery: str, now: float) -> bool:
        """Take an id; False where it is taken."""
        number, end = self._last(delivery)
        if end > now:
            return False
        return self.state.put(_key(delivery, number + 1), now + PENDING, skip_if_exists=True)

    def settle(self, delivery: str, now: float) -> None:
        """Keep an id: what it asked for was started."""
        number, _ = self._last(delivery)
        self.state.put(_key(delivery, number), now + KEEP)

    def release(self, delivery: str) -> None:
        """Give an id back: what it asked for was not started."""
        number, _ = self._last(delivery)
        self.state.put(_key(delivery, number), 0.0)

    def _last(self, delivery: str) -> tuple[int, float]:
        """Return the number of the last claim and when it ends; -1 and 0 where there was none."""
        number, end = -1, 0.0
        while (known := self.state.get(_key(delivery, number + 1))) is not None:
            number, end = number + 1, float(known)
        return number, end


def _key(delivery: str, number: int) -> str:
    return f"delivery:{hashlib.sha256(delivery.encode()).hexdigest()}#{number}"
