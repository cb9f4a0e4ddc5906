"""A Dict in this process, with the atomicity that Modal's has."""

from __future__ import annotations

import threading
from typing import Any


class Entries:
    """See `modal_app.leases.Entries`."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self._lock = threading.Lock()

    def get(self, key: str, default: Any = None) -> Any:
        with self._lock:
            return self.values.get(key, default)

    def put(self, key: str, value: Any, *, skip_if_exists: bool = False) -> bool:
        with self._lock:
            if skip_if_exists and key in self.values:
                return False
            self.values[key] = value
            return True

    def pop(self, key: str, default: Any = None) -> Any:
        with self._lock:
            return self.values.pop(key, default)
