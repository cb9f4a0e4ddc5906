"""Code execution: the program that was written passes its tests."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator

from pipeline.core.errors import ConfigError
from pipeline.core.sandbox import Limits, check_machine, run_sandboxed
from pipeline.metrics.base import ItemMean

_OPENS = re.compile(r"\s*(```+|~~~+)\s*([\w+-]*)[^`]*$")
_PYTHON = ("python", "python3", "py")
_LEAST_SECONDS, _LEAST_MB, _MOST = 0.1, 32, 1_000_000


class CodeExecution(ItemMean):
    """1 where the prediction, followed by the reference, runs to its end: the reference is Python that tests it.

    pass@1 of one greedy answer (Chen et al. 2021, section 2.1). Of a prediction with fenced code the longest block of
    Python is the program. It runs in `pipeline.core.sandbox`, with the standard library only; ``timeout`` is in seconds
    by the clock, ``memory_mb`` in MiB for each process. The sandbox holds a program, not what it says of itself: one
    that looks for how its end is told, among the frames of its own interpreter, can claim it. A model that is rewarded
    by this metric may learn to; read some of its answers.

    Raises:
        ConfigError: a limit that no program could keep, or none at all.
        EnvironmentMissing: this machine cannot isolate a program; raised by ``item`` and ``check_machine``.
    """

    name = "code_execution"
    binary = True

    def __init__(self, timeout: float = 10.0, memory_mb: int = 1024) -> None:
        for key, value, least in (("timeout", timeout, _LEAST_SECONDS), ("memory_mb", memory_mb, _LEAST_MB)):
            if not _is_limit(value, least):
                told = f"give a number from {least} to {_MOST}"
                raise ConfigError(f"{value!r} is no limit", where=f"code_execution.{key}", fix=told)
        cpu_seconds = max(1, round(timeout + 0.5))
        self._limits = Limits(seconds=timeout, cpu_seconds=cpu_seconds, memory_bytes=int(memory_mb) << 20)

    def check_machine(self) -> None:
        """Refuse a machine that cannot isolate a program, before anything is asked."""
        check_machine()

    def item(self, prediction: str, reference: str) -> float:
        """Return 1.0 or 0.0."""
        return float(run_sandboxed(_tested(program_of(prediction), reference), self._limits) == "finished")


def _tested(program: str, tests: str) -> str:
    """Return a program that runs ``program`` and then ``tests``, where the first is one by itself.

    Without that, an open triple quote at its end would make a text of tests that end in one.
    """
    alone = f"compile({program!r}, 'answer', 'exec', dont_inherit=True)"
    whole = f"{program}\n\n{tests}\n"
    return f"{alone}\nexec(compile({whole!r}, 'program', 'exec', dont_inherit=True))\n"


def _is_limit(value: object, least: float) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and least <= value <= _MOST


def program_of(answer: str) -> str:
    """Return the Python of an answer: its longest block fenced as Python, else the longest fenced at all, else all."""
    blocks = list(_fenced(answer))
    named = [text for language, text in blocks if language in _PYTHON]
    unnamed = [text for language, text in blocks if not language]
    return max(named or unnamed, key=len, default=answer)


def _fenced(answer: str) -> Iterator[tuple[str, str]]:
    """Yield the language, in small letters, and the text of each fenced block; one left open ends with the answer."""
    fence, language, lines = "", "", list[str]()
    for line in answer.splitlines():
        opens = _OPENS.match(line)
        if not fence and opens is not None:
            fence, language, lines = opens[1], opens[2].lower(), []
        elif fence and line.strip() == fence:
            yield language, textwrap.dedent("\n".join(lines))
            fence = ""
        elif fence:
            lines.append(line)
    if fence:
        yield language, textwrap.dedent("\n".join(lines))
