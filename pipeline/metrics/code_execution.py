"""Code execution: the program that was written passes its tests."""

from __future__ import annotations

import re

from pipeline.core.errors import ConfigError
from pipeline.core.sandbox import Limits, run_sandboxed
from pipeline.metrics.base import ItemMean

_FENCE = re.compile(r"```(?:python|py)?[ \t]*\n(.*?)(?:\n```|\Z)", re.DOTALL)


class CodeExecution(ItemMean):
    """1 where the prediction, followed by the reference, runs to its end: the reference is Python that tests it.

    pass@1 of one greedy answer (Chen et al. 2021, section 2.1). Of a prediction with fenced code the longest block is
    the program. It runs in `pipeline.core.sandbox`, with the standard library only; ``timeout`` is in seconds by the
    clock, ``memory_mb`` in MiB.

    Raises:
        ConfigError: a limit that is not above 0.
        EnvironmentMissing: this machine cannot isolate a program; raised by ``item``.
    """

    name = "code_execution"
    binary = True

    def __init__(self, timeout: float = 10.0, memory_mb: int = 1024) -> None:
        for key, value in (("timeout", timeout), ("memory_mb", memory_mb)):
            if not _is_positive(value):
                raise ConfigError(f"{value!r} is no limit", where=f"code_execution.{key}", fix="give a number above 0")
        cpu_seconds = max(1, round(timeout + 0.5))
        self._limits = Limits(seconds=timeout, cpu_seconds=cpu_seconds, memory_bytes=int(memory_mb) << 20)

    def item(self, prediction: str, reference: str) -> float:
        """Return 1.0 or 0.0."""
        return float(run_sandboxed(f"{program_of(prediction)}\n\n{reference}\n", self._limits) == "finished")


def _is_positive(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0


def program_of(answer: str) -> str:
    """Return the Python of an answer: its longest fenced block, or all of it."""
    blocks = _FENCE.findall(answer)
    return max(blocks, key=len) if blocks else answer
