"""The wire form of an error: what went wrong, where, and what to do about it."""

from __future__ import annotations

from enum import IntEnum
from typing import Literal

from schemas.base import Schema

ErrorCode = Literal[
    "config",
    "data",
    "source",
    "render",
    "model",
    "environment",
    "budget",
    "divergence",
    "memory",
    "storage",
    "integrity",
    "engine",
    "registry",
    "gate",
    "usage",
    "cancelled",
    "internal",
]


class ExitCode(IntEnum):
    """What the `hone` command returns; documented in docs/commands.md."""

    OK = 0
    INTERNAL = 1
    USAGE = 2
    CONFIG = 3
    DATA = 4
    ENVIRONMENT = 5
    STAGE_FAILED = 6
    GATE_FAILED = 10
    BUDGET = 11
    STORAGE = 12
    DRIFT = 13
    CANCELLED = 130


EXIT_CODES: dict[ErrorCode, ExitCode] = {
    "config": ExitCode.CONFIG,
    "data": ExitCode.DATA,
    "source": ExitCode.DATA,
    "render": ExitCode.DATA,
    "model": ExitCode.CONFIG,
    "environment": ExitCode.ENVIRONMENT,
    "budget": ExitCode.BUDGET,
    "divergence": ExitCode.STAGE_FAILED,
    "memory": ExitCode.STAGE_FAILED,
    "storage": ExitCode.STORAGE,
    "integrity": ExitCode.STORAGE,
    "engine": ExitCode.STAGE_FAILED,
    "registry": ExitCode.STAGE_FAILED,
    "gate": ExitCode.GATE_FAILED,
    "usage": ExitCode.USAGE,
    "cancelled": ExitCode.CANCELLED,
    "internal": ExitCode.INTERNAL,
}


class ErrorRecord(Schema):
    """An error as it crosses a process boundary.

    ``where`` names the file, row or key; ``fix`` the next action of whoever reads it. ``detail`` may hold a log tail.
    """

    code: ErrorCode
    message: str
    where: str | None = None
    fix: str | None = None
    detail: str | None = None
