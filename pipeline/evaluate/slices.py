"""Slices: the items that the training rows give away, apart from those that they do not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from pipeline.evaluate.items import Item
from schemas.evaluate import CLEAN, NEAR_TRAIN

T = TypeVar("T")


def slice_places(items: Sequence[Item]) -> dict[str, list[int]]:
    """Return the places of ``clean`` and ``near_train`` items; nothing where all items are of one kind."""
    near = [place for place, item in enumerate(items) if item.near_train]
    clean = [place for place, item in enumerate(items) if not item.near_train]
    return {CLEAN: clean, NEAR_TRAIN: near} if near and clean else {}


def take(values: Sequence[T], places: Sequence[int]) -> list[T]:
    """Return the values at ``places``."""
    return [values[place] for place in places]
