"""Bars of libraries: progress is told by events, and a bar of a library's own would break into it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def no_bars() -> Iterator[None]:
    """Turn off tqdm's bars inside this block, also those whose library asks for them whatever the environment says."""
    from tqdm.std import tqdm

    start: Any = tqdm.__init__

    def start_disabled(bar: Any, *arguments: Any, **options: Any) -> None:
        start(bar, *arguments, **{**options, "disable": True})

    tqdm.__init__ = start_disabled
    try:
        yield
    finally:
        tqdm.__init__ = start
