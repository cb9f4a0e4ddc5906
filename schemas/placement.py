"""Where a stage call runs: what a run description may ask for, and the hardware that a call is given.

GPU types are written as Modal writes them. None of this is part of what a run is: the same words on other hardware are
the same run, with the same artifacts.
"""

from __future__ import annotations

import difflib
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, model_validator

from schemas.base import Schema

GPU_TYPES: dict[str, int] = {
    "T4": 8,
    "L4": 8,
    "A10": 4,
    "L40S": 8,
    "A100": 8,
    "A100-40GB": 8,
    "A100-80GB": 8,
    "RTX-PRO-6000": 8,
    "H100": 8,
    "H100!": 8,
    "H200": 8,
    "B200": 8,
    "B200+": 8,
}
"""GPU types by Modal's names (its GPU guide, 2026-11), with the most that one container can have.

``A100`` is one of 40 GB unless Modal has a larger one free, ``H100!`` is never upgraded to an H200, ``B200+`` may be a
B300.
"""

CPU = "cpu"
"""What stands in a GPU's place where there is to be none."""

LEAST_CORES, MOST_CORES = 0.125, 64.0
LEAST_MEMORY, MOST_MEMORY = 128, 336 * 1024
"""Cores and MiB of one container: Modal's default request (its guide to resources), and the most that it rents out.

Modal's client checks neither; its server refuses more when a function is made.
"""

MOST_SECONDS = 86_400
"""Of one attempt: Modal ends a function after 24 hours."""

MOST_NODES = 32
NODE_GPUS = 8
"""Containers of one cluster, and the GPUs that each must ask for: all of its host (Modal's guide to clusters)."""


def split_gpu(text: str) -> tuple[str, int]:
    """Return the GPU type, in capital letters, and the count of ``H100:2`` or ``H100``.

    Raises:
        ValueError: there is no such type (the nearest is named), or not so many of it in one container.
    """
    name, colon, number = text.strip().upper().partition(":")
    if name not in GPU_TYPES:
        near = difflib.get_close_matches(name, GPU_TYPES, n=1, cutoff=0.4)
        meant = f"did you mean {near[0]}?" if near else "write cpu, or one of them"
        raise ValueError(f"unknown GPU type {name!r}; {meant} Known: {', '.join(GPU_TYPES)}")
    most = GPU_TYPES[name]
    count = int(number) if number.isdecimal() else 0
    if not colon:
        count = 1
    if not 1 <= count <= most:
        nearest = join_gpu(name, max(1, min(count, most)))
        raise ValueError(f"{text.strip()!r}: one container has 1 to {most} {name}; write {nearest}")
    return name, count


def join_gpu(name: str, count: int) -> str:
    """Return a GPU type and a count as Modal writes them: ``H100``, ``H100:2``."""
    return name if count == 1 else f"{name}:{count}"


def _gpus(value: Any) -> Any:
    """Return what was written as a tuple of GPUs, in order of preference; ``cpu`` stands alone."""
    listed = [value] if isinstance(value, str) else value
    if not isinstance(listed, (list, tuple)):
        return value
    if not listed or not all(isinstance(item, str) for item in listed):
        raise ValueError("write a GPU such as H100:2, a list of them in order of preference, or cpu")
    if any(item.strip().lower() == CPU for item in listed):
        if len(listed) > 1:
            raise ValueError("cpu stands alone: it is no fallback of a GPU")
        return (CPU,)
    return tuple(join_gpu(*split_gpu(item)) for item in listed)


Gpus = Annotated[tuple[str, ...], BeforeValidator(_gpus)]
"""GPUs in order of preference, or ``("cpu",)``."""


class WorkHardware(Schema):
    """The hardware of one kind of work; what is left out follows from the plan.

    ``gpu`` is a GPU as Modal writes it (``H100``, ``A100-80GB:4``), a list of such (the later ones are fallbacks), or
    ``cpu``; a plain text or list stands for it. ``cpu`` in cores, ``memory`` in MiB, ``timeout`` in seconds of one
    attempt.
    """

    gpu: Gpus | None = None
    cpu: Annotated[float, Field(ge=LEAST_CORES, le=MOST_CORES)] | None = None
    memory: Annotated[int, Field(ge=LEAST_MEMORY, le=MOST_MEMORY)] | None = None
    timeout: Annotated[int, Field(ge=1, le=MOST_SECONDS)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_gpu(cls, value: Any) -> Any:
        if isinstance(value, (str, list, tuple)):
            return {"gpu": value}
        if isinstance(value, dict) and "name" in value and "gpu" not in value:
            # A plain text to which `--set hardware.train.timeout=3600` added a key.
            return {("gpu" if key == "name" else key): item for key, item in value.items()}
        if value is not None and not isinstance(value, (dict, WorkHardware)):
            raise ValueError("write a GPU such as H100:2, a list of them, cpu, or keys: gpu, cpu, memory, timeout")
        return value

    @property
    def without_gpu(self) -> bool:
        """Whether a CPU was asked for."""
        return self.gpu == (CPU,)


class TrainHardware(WorkHardware):
    """The hardware of training. ``nodes`` are containers of one cluster, each with all eight GPUs of its host."""

    nodes: Annotated[int, Field(ge=1, le=MOST_NODES)] = 1

    @model_validator(mode="after")
    def _nodes_are_whole(self) -> Self:
        if self.nodes == 1 or self.gpu is None:
            return self
        if self.without_gpu:
            raise ValueError("nodes: a cluster has GPUs; remove nodes, or cpu")
        for gpu in self.gpu:
            name, count = split_gpu(gpu)
            if count != NODE_GPUS:
                raise ValueError(
                    f"nodes: each container of a cluster takes all GPUs of its host; write {name}:{NODE_GPUS}"
                    if GPU_TYPES[name] == NODE_GPUS
                    else f"nodes: {name} makes no cluster; write H100:{NODE_GPUS}"
                )
        return self


class HardwareSpec(Schema):
    """`hardware:` of a run description: by kind of work, where the plan's own choice is not wanted."""

    train: TrainHardware = TrainHardware()
    evaluate: WorkHardware = WorkHardware()
    optimize: WorkHardware = WorkHardware()
    serve: WorkHardware = WorkHardware()


class Placement(Schema):
    """The hardware of one stage call.

    ``gpu`` as Modal writes it (None: no GPU), ``fallbacks`` what does as well, in order of preference. ``count`` GPUs
    in each of ``nodes`` containers; ``cpu`` cores, ``memory`` MiB and ``timeout`` seconds of each.
    ``dollars_per_second`` is that of all containers, with the dearest of the GPUs named.
    """

    gpu: str | None = None
    fallbacks: tuple[str, ...] = ()
    count: Annotated[int, Field(ge=0)] = 0
    nodes: Annotated[int, Field(ge=1)] = 1
    cpu: float
    memory: int
    timeout: int
    dollars_per_second: float

    @property
    def gpus(self) -> tuple[str, ...]:
        """All GPUs that do, in order of preference; empty on a CPU."""
        return () if self.gpu is None else (self.gpu, *self.fallbacks)
