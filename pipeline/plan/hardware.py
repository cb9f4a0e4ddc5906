"""Which GPUs the run could take, and the one it would: the cheapest that fits and keeps the constraints."""

from __future__ import annotations

from dataclasses import dataclass, replace

from pipeline.plan.memory import Footprint, estimate_memory, needed
from pipeline.plan.prices import GPUS, Gpu, gpu_named
from pipeline.plan.throughput import Work, gpu_seconds
from schemas.plan import Constraints, HardwareOption

COUNTS = (1, 2, 4, 8)
"""GPUs of one container, as far as a type allows."""

LARGE_BASE = 3_000_000_000
"""Parameters from which a base is trained on the types made for it, however little data there is."""


@dataclass(frozen=True)
class Choice:
    """The options of every type, the recommended one (None where nothing fits), and which constraints it breaks."""

    options: tuple[HardwareOption, ...]
    recommended: HardwareOption | None
    broken: tuple[str, ...]


def choose(footprint: Footprint, work: Work, constraints: Constraints) -> Choice:
    """Return the cheapest option that fits and keeps ``constraints``; where none keeps them, the cheapest that fits.

    A base of `LARGE_BASE` parameters or more is given A100, H100, H200 or B200 only: on small types a run of some
    length takes days, and their memory has no room for the estimate's error.
    """
    options = tuple(_option(footprint, work, gpu) for gpu in GPUS)
    large = footprint.architecture.parameters >= LARGE_BASE
    fitting = sorted(
        (option for option in options if option.fits and (gpu_named(option.gpu).for_large or not large)),
        key=lambda option: (option.dollars, option.gpu),
    )
    if not fitting:
        return Choice(options, None, ("no GPU type has the memory, not even eight of them",))
    for option in fitting:
        if not broken_constraints(option, constraints):
            return Choice(options, option, ())
    return Choice(options, fitting[0], broken_constraints(fitting[0], constraints))


def largest_batch(footprint: Footprint, option: HardwareOption, most: int) -> int:
    """Return the largest power of two of rows per GPU, up to ``most``, with which ``option`` still fits."""
    gpu = gpu_named(option.gpu)
    batch = 1
    while 2 * batch <= most and _fits(replace(footprint, batch=2 * batch), gpu, option.count):
        batch *= 2
    return batch


def on_gpu(footprint: Footprint, gpu: Gpu) -> Footprint:
    """Return the footprint in the number type that this GPU trains in."""
    return replace(footprint, bf16=footprint.bf16 and gpu.has_bf16)


def broken_constraints(option: HardwareOption, constraints: Constraints) -> tuple[str, ...]:
    """Return, in words, which constraints this option breaks."""
    hours = option.seconds / 3600
    checks = (
        ("constraints.max_cost", constraints.max_cost, option.dollars, "US dollars"),
        ("constraints.max_gpu_hours", constraints.max_gpu_hours, hours * option.count, "GPU-hours"),
        ("constraints.max_hours", constraints.max_hours, hours, "hours"),
    )
    return tuple(
        f"{key} allows {limit:g} {unit}; {option.count} x {option.gpu} would take {value:.3g}"
        for key, limit, value, unit in checks
        if limit is not None and value > limit
    )


def _fits(footprint: Footprint, gpu: Gpu, count: int) -> bool:
    return needed(estimate_memory(on_gpu(footprint, gpu), count)) <= gpu.memory


def _option(footprint: Footprint, work: Work, gpu: Gpu) -> HardwareOption:
    """Return the least count of this type that fits, or as many as there can be that do not."""
    counts = [count for count in COUNTS if count <= gpu.most]
    count = next((count for count in counts if _fits(footprint, gpu, count)), None)
    used = count or counts[-1]
    seconds = gpu_seconds(work, gpu, used)
    return HardwareOption(
        gpu=gpu.name,
        count=used,
        memory_bytes=needed(estimate_memory(on_gpu(footprint, gpu), used)),
        fits=count is not None,
        seconds=round(seconds, 1),
        dollars=round(gpu.dollars(seconds, used), 4),
    )
