"""In which order prompts are asked: a new one in each epoch, a function of the seed and the epoch alone."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch.utils.data import Sampler


class PromptOrder(Sampler[int]):
    """Yields row numbers as TRL's generation batches want them: each prompt once for each of its answers.

    TRL's own sampler draws its order from a generator that a resumed training starts afresh, and leaves out the rows
    at the end of an epoch that fill no batch. Here they come first again, so that every row is asked in every epoch.

    Args:
        rows: how many rows there are.
        prompts: different prompts of a batch.
        answers: answers to each prompt.
        repeats: how often a batch is yielded: once for each micro-batch that is taken from it.
        seed: of the training.
    """

    def __init__(self, rows: int, *, prompts: int, answers: int, repeats: int, seed: int) -> None:
        self._rows, self._prompts, self._answers, self._repeats = rows, prompts, answers, repeats
        self._seed, self._epoch = seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch comes next; called by accelerate's loader."""
        self._epoch = epoch

    def __len__(self) -> int:
        """Return how many numbers an epoch has."""
        return self._batches * self._prompts * self._answers * self._repeats

    def __iter__(self) -> Iterator[int]:
        """Yield the row numbers of an epoch."""
        generator = torch.Generator().manual_seed(self._seed + self._epoch)
        order = torch.randperm(self._rows, generator=generator).tolist()
        for first in range(0, self._batches * self._prompts, self._prompts):
            batch = [order[place % self._rows] for place in range(first, first + self._prompts)]
            for _ in range(self._repeats):
                for row in batch:
                    yield from (row for _ in range(self._answers))

    @property
    def _batches(self) -> int:
        return math.ceil(self._rows / self._prompts)
