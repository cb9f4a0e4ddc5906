"""GPU types that Modal rents: price, memory and speed, each with its date and source."""

from __future__ import annotations

from dataclasses import dataclass

from schemas.placement import GPU_TYPES

PRICES_DATED = "2026-10-04"
"""When the prices were last checked, against third-party copies of Modal's price page."""

CPU_CORE_DOLLARS = 0.0000131
MEMORY_GIB_DOLLARS = 0.00000222
"""US dollars per second of a container's cores and memory, beside its GPUs."""

HOST_CORES = 4
HOST_GIB = 32
"""Assumed of a training container, per GPU."""

GIB = 1 << 30


@dataclass(frozen=True)
class Gpu:
    """One GPU type under Modal's name.

    ``dollars_per_second`` of the GPU alone; ``memory`` usable bytes as the driver reports them; ``tflops`` dense peak
    in the number type that training runs in: bfloat16 where it ``has_bf16``, else float32; ``reach`` the share of that
    peak which is assumed to be reached, relative to an A100: newer types wait more for memory, small ones throttle.
    ``for_large``: large bases are trained on it (fast memory, NVLink between several).
    """

    name: str
    dollars_per_second: float
    memory: int
    tflops: float
    reach: float = 1.0
    has_bf16: bool = True
    for_large: bool = False

    @property
    def most(self) -> int:
        """The most of them that one container can have."""
        return GPU_TYPES[self.name]

    def dollars(self, seconds: float, count: int) -> float:
        """Return what ``count`` of them cost with their share of the container."""
        host = HOST_CORES * CPU_CORE_DOLLARS + HOST_GIB * MEMORY_GIB_DOLLARS
        return seconds * count * (self.dollars_per_second + host)


GPUS: tuple[Gpu, ...] = (
    # Dense peaks and memory sizes: NVIDIA's data sheets; sparse figures halved.
    Gpu("T4", 0.000164, int(14.7 * GIB), 8.1, has_bf16=False),
    Gpu("L4", 0.000222, int(22.0 * GIB), 121.0, reach=0.6),
    Gpu("A10", 0.000306, int(22.0 * GIB), 125.0, reach=0.7),
    Gpu("L40S", 0.000542, int(44.5 * GIB), 362.0, reach=0.7),
    Gpu("A100-40GB", 0.000583, int(39.4 * GIB), 312.0, for_large=True),
    Gpu("A100-80GB", 0.000694, int(79.2 * GIB), 312.0, for_large=True),
    Gpu("RTX-PRO-6000", 0.000842, int(95.0 * GIB), 500.0, reach=0.7),
    Gpu("H100", 0.001097, int(79.2 * GIB), 989.0, reach=0.85, for_large=True),
    Gpu("H200", 0.001261, int(139.0 * GIB), 989.0, reach=0.85, for_large=True),
    Gpu("B200", 0.001736, int(178.0 * GIB), 2250.0, reach=0.6, for_large=True),
)

_BY_NAME = {gpu.name: gpu for gpu in GPUS}
_SAME = {"A100": "A100-40GB", "H100!": "H100", "B200+": "B200"}
"""Modal's further names: what is paid for and what is sure to be there."""


def gpu_named(name: str) -> Gpu:
    """Return the GPU type that Modal calls ``name``; raises KeyError where there is none."""
    return _BY_NAME[_SAME.get(name, name)]


def dollars_per_second(gpu: str | None, count: int, cores: float, memory_gib: float, nodes: int = 1) -> float:
    """Return the price of ``nodes`` equal containers, each with ``count`` GPUs (none where ``gpu`` is None).

    Modal bills cores and memory as requested, or as used where that is more.
    """
    gpus = 0.0 if gpu is None else count * gpu_named(gpu).dollars_per_second
    return nodes * (gpus + cores * CPU_CORE_DOLLARS + memory_gib * MEMORY_GIB_DOLLARS)
