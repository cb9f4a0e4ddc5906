"""The environments of hone: one fully pinned file each, from which images and local environments are built.

``<name>.<device>.txt`` lists every package of an environment, one ``name==version`` a line, installed without
dependency resolution. A line may carry ``--hash``; such a package is installed by its bytes.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from pipeline.core.errors import EnvironmentMissing
from schemas.base import Device

TORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"
"""PyTorch's public index of CPU builds."""

MAIN = "main"

IN_MAIN = frozenset({"train", "optimize-llmcompressor", "service"})
"""Roles whose packages the main environment has on a CPU."""

_HERE = Path(__file__).parent


def environment_for(role: str, device: Device) -> str:
    """Return the environment that has what a role needs on a device: on a CPU, nothing is built twice."""
    return MAIN if device == "cpu" and role in IN_MAIN else role


def environment_names(device: Device = "cpu") -> tuple[str, ...]:
    """Return the names of all environments for ``device``, sorted."""
    suffix = f".{device}.txt"
    return tuple(sorted(path.name.removesuffix(suffix) for path in _HERE.glob(f"*{suffix}")))


def environment_file(name: str, device: Device = "cpu") -> Path:
    """Return the file that pins environment ``name``.

    Raises:
        EnvironmentMissing: there is no such environment for ``device``.
    """
    names = environment_names(device)
    if name not in names:
        raise EnvironmentMissing(
            f"there is no environment of this name for {device}",
            where=name,
            fix=f"known: {', '.join(names) or 'none'}",
        )
    return _HERE / f"{name}.{device}.txt"


def requirements(name: str, device: Device = "cpu") -> tuple[str, ...]:
    """Return the requirement lines of environment ``name``: no comments, no blank lines, in the file's order.

    Raises:
        EnvironmentMissing: there is no such environment for ``device``.
    """
    lines = environment_file(name, device).read_text(encoding="utf-8").splitlines()
    return tuple(line.strip() for line in lines if line.strip() and not line.startswith("#"))


def environment_digest(name: str, device: Device = "cpu") -> str:
    """Return the sha256 (hexadecimal) of the requirement lines: comments may change, packages may not.

    Raises:
        EnvironmentMissing: there is no such environment for ``device``.
    """
    return hashlib.sha256("".join(f"{line}\n" for line in requirements(name, device)).encode()).hexdigest()
