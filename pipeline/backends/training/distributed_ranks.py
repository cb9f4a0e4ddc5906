"""One process among those that train together: what they tell each other beside the gradients.

Numbers are added up in the order of the ranks, so that all get the same bits. A decision to stop is taken by all at the
same step: the first process is asked, and tells the others with the loss of the step.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist

PATIENCE = timedelta(hours=2)
"""How long a process waits for the others: as long as the first may need to write a checkpoint. That one has died is
noticed at once, by other means."""


@dataclass
class Ranks:
    """This process and the others.

    Args:
        rank: this process's place.
        count: of all processes.
        group: a Gloo group of all of them, for what is not on GPUs.
        asked: answers whether this process was asked to stop.
        stopping: whether all have agreed to stop.
    """

    rank: int
    count: int
    group: Any = field(repr=False)
    asked: Callable[[], bool] = field(default=lambda: False, repr=False)
    stopping: bool = False

    @property
    def first(self) -> bool:
        """Whether this process speaks and writes for all."""
        return self.rank == 0

    def end_step(self, loss: float) -> float:
        """Return the mean of all processes' losses of a step, and agree on whether to stop."""
        told = self._tell(loss, float(self.asked()))
        self.stopping = self.stopping or any(asked for _, asked in told)
        return sum(loss for loss, _ in told) / self.count

    def total(self, *numbers: float) -> list[float]:
        """Return the sum over all processes of each number."""
        return [sum(column) for column in zip(*self._tell(*numbers), strict=True)]

    def collect(self, data: bytes) -> list[bytes]:
        """Return what all processes gave, in the first process; nothing in the others."""
        sizes = [int(size) for (size,) in self._tell(float(len(data)))]
        mine = torch.zeros(max(sizes), dtype=torch.uint8)
        mine[: len(data)] = torch.frombuffer(bytearray(data), dtype=torch.uint8)
        found = [torch.empty_like(mine) for _ in sizes] if self.first else None
        dist.gather(mine, found, dst=0, group=self.group)
        return [bytes(one[:size].numpy()) for one, size in zip(found or [], sizes, strict=False)]

    def gather_rows(self, rows: torch.Tensor) -> torch.Tensor:
        """Return the rows of all processes one after the other, however many each has."""
        counts = [int(count) for (count,) in self._tell(float(len(rows)))]
        padded = rows.new_zeros((max(counts), *rows.shape[1:]))
        padded[: len(rows)] = rows
        found = [torch.empty_like(padded) for _ in counts]
        dist.all_gather(found, padded)
        return torch.cat([one[:count] for one, count in zip(found, counts, strict=True)])

    def _tell(self, *numbers: float) -> list[list[float]]:
        mine = torch.tensor(numbers, dtype=torch.float64)
        all_numbers = [torch.empty_like(mine) for _ in range(self.count)]
        dist.all_gather(all_numbers, mine, group=self.group)
        return [one.tolist() for one in all_numbers]


@contextmanager
def joined(asked: Callable[[], bool]) -> Iterator[Ranks]:
    """Meet the other processes that torchrun has started, each with a GPU of its own where there are any."""
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        backend = "cpu:gloo,cuda:nccl"
    else:
        backend = "gloo"
    dist.init_process_group(backend, timeout=PATIENCE)
    group = dist.new_group(backend="gloo", timeout=PATIENCE)
    yield Ranks(dist.get_rank(), dist.get_world_size(), group, asked)
    dist.destroy_process_group()
