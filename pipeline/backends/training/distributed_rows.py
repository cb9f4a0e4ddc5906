"""Which rows each process takes: together those that one process alone would take for the same step.

The order of an epoch's rows is the one of a single process. Each step takes the next rows of it, cut into micro-batches
that are dealt to the processes in turn. The last step of an epoch may have fewer; a process that gets none of them then
goes along with a row that counts nothing, because the others wait for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from accelerate.data_loader import SeedableRandomSampler
from torch.utils.data import DataLoader

SHARE = "share"
"""The key under which a batch carries its weight, with which the mean over all processes' batches of a step is that of
one process alone: 1, and in the last step of an epoch 0 where it counts nothing, and otherwise by its rows."""

Weighted = tuple[int, float]
"""A row's place, and the weight of its micro-batch."""


class Shares:
    """The micro-batches of one process, as a batch sampler.

    Args:
        order: yields the places of all rows, in each epoch's order.
        rows: how many there are.
        whole_batch: rows of a micro-batch of one process alone.
        micro_batch: rows of a micro-batch here, of which some make up a whole one.
        accumulation: micro-batches of a step that each process takes.
        rank, count: this process's place, and the number of all.
    """

    def __init__(
        self,
        order: SeedableRandomSampler,
        *,
        rows: int,
        whole_batch: int,
        micro_batch: int,
        accumulation: int,
        rank: int,
        count: int,
    ) -> None:
        self._order = order
        self._rows = rows
        self._parts = whole_batch // micro_batch
        self._micro_batch = micro_batch
        self._accumulation = accumulation
        self._rank = rank
        self._count = count

    def set_epoch(self, epoch: int) -> None:
        """Take the order of ``epoch``."""
        self._order.set_epoch(epoch)

    def __len__(self) -> int:
        step = self._micro_batch * self._accumulation * self._count
        whole, left = divmod(self._rows, step)
        return whole * self._accumulation + -(-left // (self._micro_batch * self._count))

    def __iter__(self) -> Iterator[list[Weighted]]:
        places = list(self._order)
        cuts = range(0, len(places), self._micro_batch)
        batches = [places[first : first + self._micro_batch] for first in cuts]
        step = self._accumulation * self._count
        for first in range(0, len(batches), step):
            yield from self._of_step(batches[first : first + step])

    def _of_step(self, batches: Sequence[list[int]]) -> Iterator[list[Weighted]]:
        turns = -(-len(batches) // self._count)
        weights = list(_weights(batches, self._parts, turns * self._count))
        for turn in range(turns):
            place = turn * self._count + self._rank
            if place < len(batches):
                yield [(row, weights[place]) for row in batches[place]]
            else:
                yield [(batches[0][0], 0.0)]


def _weights(batches: Sequence[list[int]], parts: int, places: int) -> Iterator[float]:
    """Yield the weight of each micro-batch's mean in a step whose mean is taken over ``places``.

    One process alone takes ``parts`` of them at once, and to it the means of its own micro-batches count the same,
    however many rows they have.
    """
    whole = [batches[first : first + parts] for first in range(0, len(batches), parts)]
    for together in whole:
        rows = sum(len(batch) for batch in together)
        yield from (places * len(batch) / (rows * len(whole)) for batch in together)


class WeightedRows:
    """Rows by place and weight; ``collate`` makes a batch of them."""

    def __init__(self, rows: Any, collator: Callable[[list[Any]], dict[str, Any]]) -> None:
        self._rows = rows
        self._collator = collator

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: Weighted) -> tuple[Any, float]:
        place, weight = index
        return self._rows[place], weight

    def collate(self, items: list[tuple[Any, float]]) -> dict[str, Any]:
        """Return a batch with its `SHARE`; of one that counts nothing, no token is trained."""
        batch = self._collator([row for row, _ in items])
        weight = items[0][1]
        if not weight and "labels" in batch:
            batch["labels"] = torch.full_like(batch["labels"], -100)
        batch[SHARE] = weight
        return batch


class SharedLoader(DataLoader):
    """A loader that knows its epoch, as the trainer expects."""

    def set_epoch(self, epoch: int) -> None:
        """Take the order of ``epoch``."""
        self.batch_sampler.set_epoch(epoch)
