"""What passes through the service, counted: requests by route and status, and how long they took."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterator
from threading import Lock
from typing import Final

from pipeline.service.api.exposition import family

BUCKETS: Final = (0.005, 0.025, 0.1, 0.5, 2.5, 10.0, 60.0)
"""Upper ends, in seconds; longer ones are counted too."""

UNROUTED: Final = "none"
"""The route of requests that none takes: what they ask for may be anything."""


class Traffic:
    """Counts requests. Methods are called from many threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._answers: Counter[tuple[str, str, int]] = Counter()
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._slower: Counter[tuple[str, int]] = Counter()

    def note(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request: the pattern of its route, its answer's status, and the seconds to the answer's end."""
        with self._lock:
            self._answers[method, route, status] += 1
            self._seconds[route] += seconds
            self._slower[route, bisect_left(BUCKETS, seconds)] += 1

    def lines(self) -> Iterator[str]:
        """Yield the metrics in Prometheus's text format."""
        with self._lock:
            answers, seconds, slower = dict(self._answers), dict(self._seconds), dict(self._slower)
        counted = [
            ("", {"method": method, "route": route, "status": str(status)}, float(count))
            for (method, route, status), count in sorted(answers.items())
        ]
        yield from family("hone_service_requests_total", "counter", "Requests by route and status.", counted)
        yield from family(
            "hone_service_request_seconds",
            "histogram",
            "Seconds from a request to the end of its answer.",
            [sample for route in sorted(seconds) for sample in _histogram(route, seconds[route], slower)],
        )


def _histogram(
    route: str, total: float, slower: dict[tuple[str, int], int]
) -> Iterator[tuple[str, dict[str, str], float]]:
    below = 0
    for number, end in enumerate([*map(str, BUCKETS), "+Inf"]):
        below += slower.get((route, number), 0)
        yield "_bucket", {"route": route, "le": end}, float(below)
    yield "_sum", {"route": route}, total
    yield "_count", {"route": route}, float(below)
