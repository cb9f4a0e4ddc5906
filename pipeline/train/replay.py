"""Rows of the base's own tasks: those mixed into the new ones, and those that other methods read."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from schemas.data import Example


def replay_count(own: int, share: float) -> int:
    """Return how many rows make up ``share`` of all rows beside ``own`` others: r / (own + r) = share, rounded."""
    return round(own * share / (1.0 - share))


def draw_replay(tasks: Mapping[str, Sequence[Example]], own: int, share: float, seed: int) -> dict[str, list[Example]]:
    """Draw rows without repetition, the same number from each task as far as it has them.

    The rows that a small task lacks are drawn from the others. Each draw depends on the seed and the task's name alone.
    """
    return draw_rows(tasks, replay_count(own, share), seed)


def draw_rows(tasks: Mapping[str, Sequence[Example]], wanted: int, seed: int) -> dict[str, list[Example]]:
    """Draw ``wanted`` rows in all, or as many as there are; see `draw_replay`."""
    counts = dict.fromkeys(tasks, 0)
    open_tasks = sorted(tasks, key=lambda name: (len(tasks[name]), name))
    for position, name in enumerate(open_tasks):
        fair = -(-(wanted - sum(counts.values())) // (len(open_tasks) - position))
        counts[name] = min(fair, len(tasks[name]))
    return {
        name: random.Random(f"{seed}:{name}").sample(list(tasks[name]), counts[name])  # noqa: S311  no secret
        for name in sorted(tasks)
    }
