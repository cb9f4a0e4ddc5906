"""What the checks of `benchmarks.statistics` have in common: a finding with its bounds, and the data sets they draw."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

LEVEL = 0.05
MOST_REJECTED, LEAST_REJECTED = 0.065, 0.035
COVERED = (0.93, 0.97)
RESAMPLES = 1000
SEED = 7


@dataclass(frozen=True)
class Sample:
    """The scores of two models on the same items, and each item's cluster; ``truth`` is the true mean difference."""

    candidate: Floats
    baseline: Floats
    clusters: list[int] | None
    truth: float


@dataclass(frozen=True)
class Check:
    """A method on one kind of data: which share of sets it rejected or covered, and what that must lie within."""

    method: str
    data: str
    measure: str
    share: float
    least: float
    most: float

    @property
    def met(self) -> bool:
        """Whether the share lies within its bounds."""
        return self.least <= self.share <= self.most

    def __str__(self) -> str:
        """Return what was measured, with its bounds."""
        return f"{self.measure} ({self.least:.1%} to {self.most:.1%}): {self.method}; {self.data}"


def draw(rng: np.random.Generator, *, gain: float = 0.0, clustered: bool = True, graded: bool = False) -> Sample:
    """Draw 60 clusters of 1 to 12 items, or 300 items, of which 40% are won or lost, a cluster's all alike."""
    import numpy as np

    sizes = rng.integers(1, 13, size=60) if clustered else np.ones(300, dtype=np.int64)
    index = np.repeat(np.arange(sizes.size), sizes)
    wins = np.repeat(rng.random(sizes.size) < 0.5 + gain / 0.8, sizes)
    differs = rng.random(index.size) < 0.4
    both = (rng.random(index.size) < 0.5).astype(np.float64)
    candidate, baseline = np.where(differs, wins, both), np.where(differs, ~wins, both)
    if graded:
        blur = rng.random((2, index.size)) * 0.5
        candidate, baseline = 0.5 * candidate + blur[0], 0.5 * baseline + blur[1]
    truth = gain * (0.5 if graded else 1.0)
    return Sample(candidate, baseline, index.tolist() if clustered else None, truth)


def generators(sets: int, name: str) -> Iterator[np.random.Generator]:
    import numpy as np

    for number in range(sets):
        yield np.random.default_rng([SEED, number, *name.encode()])
