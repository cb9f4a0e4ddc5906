"""torch's counters of memory, read as the train stage tells of its steps."""

from __future__ import annotations

import gc
from dataclasses import dataclass, field

from benchmarks.gpu.shapes import WARM
from schemas.events import Event


class Measured(Exception):
    """The last step is over, and nothing else is to be measured."""


@dataclass
class Gauge:
    """A sink of events; all sizes are bytes beside the ``before`` that were there already.

    Attributes:
        last: ends the training after this step, where it is given.
        start: tensors when training begins, and ``loading`` their peak until then.
        stepped: tensors after the first step, the optimizer's among them.
        times: seconds of the clock at the end of each step.
    """

    last: int | None = None
    before: int = 0
    start: int = 0
    stepped: int = 0
    loading: int = 0
    times: list[float] = field(default_factory=list)

    def __call__(self, event: Event) -> None:
        """Take one event.

        Raises:
            Measured: it was the last step's.
        """
        data = event.data
        if event.kind == "progress" and data.get("label") == "training" and not self.times and not self.start:
            self.start, self.loading = allocated() - self.before, peak() - self.before
            reset()
        elif event.kind == "metric" and "loss" in data:
            self.times.append(event.time)
            if len(self.times) == 1:
                self.stepped = allocated() - self.before
            if self.last is not None and len(self.times) == self.last:
                raise Measured

    @property
    def step_seconds(self) -> float:
        """Mean seconds of a step once warm."""
        return (self.times[-1] - self.times[WARM - 1]) / (len(self.times) - WARM)


def allocated() -> int:
    """Return the bytes of tensors on the GPU."""
    import torch

    return torch.cuda.memory_allocated() if torch.cuda.is_available() else 0


def peak() -> int:
    """Return their most since `reset`."""
    import torch

    return torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0


def reserved() -> int:
    """Return the most that torch's allocator held since `reset`."""
    import torch

    return torch.cuda.max_memory_reserved() if torch.cuda.is_available() else 0


def reset() -> None:
    """Forget the peaks, and give back what no tensor holds."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
