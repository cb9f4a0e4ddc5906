"""A container before it is priced: GPUs in order of preference, cores, memory and time."""

from __future__ import annotations

from dataclasses import dataclass, replace

from pipeline.plan.prices import GIB, HOST_CORES, HOST_GIB, dollars_per_second
from schemas.placement import MOST_CORES, MOST_MEMORY, Placement, WorkHardware, split_gpu

HOUR = 3600


@dataclass(frozen=True)
class Machine:
    """``cores``, ``memory`` in MiB and ``timeout`` in seconds are those of each of ``nodes`` containers."""

    gpus: tuple[str, ...]
    cores: float
    memory: int
    timeout: int
    nodes: int = 1

    @classmethod
    def with_gpus(cls, gpus: tuple[str, ...], memory: float, timeout: int, nodes: int = 1) -> Machine:
        """Return a machine with the usual cores and memory for each GPU, and no less than ``memory`` bytes."""
        count = max(split_gpu(gpu)[1] for gpu in gpus)
        return cls(gpus, min(MOST_CORES, HOST_CORES * count), mib(max(memory, count * HOST_GIB * GIB)), timeout, nodes)

    def asked(self, hardware: WorkHardware) -> Machine:
        """Return the machine with what was asked for in place of what was estimated."""
        return replace(
            self,
            cores=hardware.cpu or self.cores,
            memory=hardware.memory or self.memory,
            timeout=hardware.timeout or self.timeout,
        )

    def placed(self) -> Placement:
        """Return the placement, priced for the dearest of its GPUs."""
        counted = [split_gpu(gpu) for gpu in self.gpus]
        gib = self.memory / 1024
        prices = [dollars_per_second(name, count, self.cores, gib, self.nodes) for name, count in counted]
        return Placement(
            gpu=self.gpus[0] if self.gpus else None,
            fallbacks=self.gpus[1:],
            count=counted[0][1] if counted else 0,
            nodes=self.nodes,
            cpu=self.cores,
            memory=self.memory,
            timeout=self.timeout,
            dollars_per_second=max(prices, default=dollars_per_second(None, 0, self.cores, gib)),
        )


def mib(size: float) -> int:
    """Return bytes as MiB, rounded up to whole GiB, and no more than a container can have."""
    return min(MOST_MEMORY, 1024 * -int(-size // GIB))
