"""The shared beginning of many prompts (instruction, examples, system turn), computed once and not once per prompt."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

if TYPE_CHECKING:
    from transformers import PreTrainedModel

WORTH_SHARING = 16
"""Tokens from which copying keys and values is cheaper than computing them."""


@dataclass(frozen=True)
class Prefix:
    """``length`` tokens that all prompts begin with; ``cache`` holds their keys and values for one row."""

    length: int
    cache: DynamicCache

    def start(self, rows: int) -> DynamicCache:
        """Return a cache of ``rows`` rows that all begin with the prefix."""
        cache = copy.deepcopy(self.cache)
        if self.length:
            cache.batch_repeat_interleave(rows)
        return cache


def empty_cache(model: PreTrainedModel) -> DynamicCache:
    """Return a cache with the kinds of layers that the model has."""
    return DynamicCache(config=model.config.get_text_config(decoder=True))


def can_share(model: PreTrainedModel) -> bool:
    """Tell whether a prefix may be followed by padding: only where every layer attends to all that went before.

    A sliding window is counted in places of the cache, which padding would fill; linear attention keeps one state.
    """
    layers = empty_cache(model).layers
    return bool(layers) and all(type(layer) is DynamicLayer for layer in layers)


def common_length(prompts: Sequence[list[int]]) -> int:
    """Return how many tokens all prompts begin with, at least one left for each prompt to end with.

    >>> common_length([[1, 2, 3], [1, 2, 4, 5], [1, 2]])
    1
    """
    first, last = min(prompts), max(prompts)
    # In lexicographic order whatever the first and the last begin with, all between begin with too.
    shared = next((place for place, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))
    return min(shared, min(len(prompt) for prompt in prompts) - 1)
