"""Lists in pages, as OpenAI's cursors go."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, Protocol, TypeVar

from fastapi import Query

from pipeline.service.api.errors import not_found
from pipeline.service.store.database import UnknownCursor
from schemas.api import Page

After = Annotated[str | None, Query(max_length=64, description="The id behind which the page begins.")]
Limit = Annotated[int, Query(ge=1, le=100, description="How many.")]


class Listed(Protocol):
    """What has an id."""

    @property
    def id(self) -> str:
        """The id."""


T = TypeVar("T", bound=Listed)


def page(values: Sequence[T], more: bool) -> Page[T]:
    """Return a page of ``values``."""
    ends = {"first_id": values[0].id, "last_id": values[-1].id} if values else {}
    return Page[Any](data=tuple(values), has_more=more, **ends)


@contextmanager
def known_cursor() -> Iterator[None]:
    """Refuse an ``after`` that is nowhere in the list."""
    try:
        yield
    except UnknownCursor as error:
        raise not_found("object in this list", str(error), "after") from None
