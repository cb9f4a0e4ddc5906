"""How often a key may ask: a token bucket for each, in the memory of the process that answers.

A bucket holds a minute's requests and fills evenly (Turner, New directions in communications, IEEE Communications
Magazine 24(10), 1986), so a minute's requests may come at once, and after them one at a time. What is told of it are
the headers of OpenAI, https://developers.openai.com/api/docs/guides/rate-limits.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock

from pipeline.service.api.keys import OPERATOR, Caller

_MINUTE = 60.0


@dataclass(frozen=True)
class Rate:
    """How a request stands: requests a minute, how many are left now, and seconds until all of them are again.

    ``wait``: seconds until the next one may be sent, where this one may not.
    """

    limit: int
    remaining: int
    reset: float
    wait: float = 0.0

    @property
    def message(self) -> str:
        """What a request that came too soon is told."""
        return f"Rate limit reached: this key may ask {self.limit} times a minute. Try again in {duration(self.wait)}"

    def headers(self) -> dict[str, str]:
        """Return what answers say of it."""
        told = {
            "x-ratelimit-limit-requests": str(self.limit),
            "x-ratelimit-remaining-requests": str(self.remaining),
            "x-ratelimit-reset-requests": duration(self.reset),
        }
        return {**told, "Retry-After": str(math.ceil(self.wait))} if self.wait else told


@dataclass
class Rates:
    """The buckets. Methods are called from many threads.

    Args:
        default: requests a minute of a key that has no limit of its own; None for as many as it likes. The operator's
            key has none.
        clock: seconds that only grow.
    """

    default: int | None = None
    clock: Callable[[], float] = time.monotonic
    _buckets: dict[str, tuple[float, float]] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def take(self, caller: Caller) -> Rate | None:
        """Count a request; None where the caller has no limit. One that has to wait does not count."""
        limit = caller.requests_per_minute or (None if caller.id == OPERATOR else self.default)
        if limit is None:
            return None
        with self._lock:
            now = self.clock()
            left, since = self._buckets.get(caller.id, (float(limit), now))
            left = min(float(limit), left + (now - since) * limit / _MINUTE)
            is_taken = left >= 1.0
            left -= is_taken
            self._buckets[caller.id] = left, now
        wait = 0.0 if is_taken else (1.0 - left) * _MINUTE / limit
        return Rate(limit, int(left), (limit - left) * _MINUTE / limit, wait)


def duration(seconds: float) -> str:
    """Return a duration as OpenAI writes it, rounded up: ``20ms``, ``1s``, ``6m0s``."""
    if seconds < 1.0:
        return f"{math.ceil(seconds * 1000)}ms"
    minutes, rest = divmod(math.ceil(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes}m{rest}s" if hours else f"{minutes}m{rest}s" if minutes else f"{rest}s"
