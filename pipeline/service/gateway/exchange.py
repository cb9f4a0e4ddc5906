"""What is known of one request and its answer, while it passes and after."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from schemas.rollout import Arm

MOST_KEPT: Final = 1 << 20
"""Bytes of an answer that are kept; of a longer one, its beginning."""

Path = Literal["chat/completions", "completions", "embeddings"]


@dataclass(slots=True)
class Exchange:
    """A request to a version and its answer.

    ``id`` is the gateway's own, and what the engine is told as ``X-Request-Id``. ``rollout`` and ``arm`` are those of a
    split; a copy that nobody sees is ``shadowed``. ``status`` 0: the engine was not there. ``broken``: its answer broke
    off. ``left``: whoever asked went away. ``told`` are the headers that say who asks. Times are `time.perf_counter`;
    ``at`` is Unix time.
    """

    id: str
    path: Path
    version: str
    key: str
    request: dict[str, Any]
    began: float
    rollout: str | None = None
    arm: Arm | None = None
    shadowed: bool = False
    status: int = 0
    streamed: bool = False
    broken: bool = False
    left: bool = False
    truncated: bool = False
    first: float | None = None
    ended: float | None = None
    at: float = field(default_factory=time.time)
    told: Mapping[str, str] = field(default_factory=dict)
    pieces: list[bytes] = field(default_factory=list)
    kept: int = 0

    def keep(self, piece: bytes) -> None:
        """Keep a piece of the answer, as long as there is room."""
        if self.first is None:
            self.first = time.perf_counter()
        if self.kept + len(piece) > MOST_KEPT:
            self.truncated = True
            return
        self.pieces.append(piece)
        self.kept += len(piece)

    @property
    def failed(self) -> bool:
        """Whether the engine is to blame. One that does not know the model that it is to serve is."""
        return self.broken or self.status in (0, 404) or self.status >= 500
