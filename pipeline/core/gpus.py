"""How many GPUs a process sees, asked without a framework, and how many of them can share a model."""

from __future__ import annotations

import ctypes
import itertools
import os
from collections.abc import Callable, Mapping

LIBRARY = "libnvidia-ml.so.1"
"""NVML, which is there wherever NVIDIA's driver is; vLLM and torch ask it as well."""

VISIBLE = "CUDA_VISIBLE_DEVICES"


def installed_gpus(library: str = LIBRARY) -> int:
    """Return the GPUs that NVIDIA's driver shows in this machine or container; 0 where there is no driver.

    Nothing is initialized on them, so processes that are started later have them for themselves.
    """
    try:
        nvml = ctypes.CDLL(library)
        if nvml.nvmlInit_v2() != 0:
            return 0
        count = ctypes.c_uint(0)
        try:
            return count.value if nvml.nvmlDeviceGetCount_v2(ctypes.byref(count)) == 0 else 0
        finally:
            nvml.nvmlShutdown()
    except (OSError, AttributeError):  # no such library, or no NVML in it
        return 0


def visible_gpus(variables: Mapping[str, str] = os.environ, installed: Callable[[], int] = installed_gpus) -> int:
    """Return the GPUs that CUDA offers to a process with these environment variables.

    ``CUDA_VISIBLE_DEVICES`` lists them by number or identifier; what follows an empty or negative entry is not seen
    (CUDA C++ Programming Guide, environment variables).
    """
    there = installed()
    if VISIBLE not in variables:
        return there
    entries = (entry.strip() for entry in variables[VISIBLE].split(","))
    listed = itertools.takewhile(lambda entry: entry and not entry.startswith("-"), entries)
    return min(there, len(set(listed)))


def divides(count: int, heads: int, kv_heads: int) -> bool:
    """Tell whether ``count`` GPUs can share a model, as vLLM's tensor parallelism does.

    Attention heads are divided among them; key-value heads are too, or each GPU has a copy of one (Shoeybi et al.,
    Megatron-LM, arXiv:1909.08053, section 3; vLLM's ``ModelConfig.verify_with_parallel_config``).
    """
    return heads % count == 0 and (kv_heads % count == 0 or count % kv_heads == 0)


def shared_by(gpus: int, heads: int, kv_heads: int) -> int:
    """Return the largest number of GPUs, up to ``gpus``, that can share a model; 1 where there is none to share it."""
    return next(count for count in range(max(1, gpus), 0, -1) if divides(count, heads, kv_heads))
