"""A user's own metric: a function ``score(prediction, reference) -> float`` in a Python file, named by the spec.

The file is run as the user's own code, with the user's rights, in a process of its own: what it prints goes to standard
error, and where it ends that process the run says so. It is loaded under a private module name and the import path
stays as it is, so that it can neither shadow a package nor be shadowed by one.
"""

from __future__ import annotations

import json
import subprocess
import sys
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

from pipeline.core.errors import ConfigError, SourceError
from pipeline.core.process import describe_exit, start_kept, stop_kept
from pipeline.metrics import user_script
from pipeline.metrics.base import ItemMean

_EQUAL = 1e-9
"""Scores of one answer that are closer than this are the same."""

_GRACE_SECONDS = 1.0
"""Time in which a metric that is no longer needed may end."""


@dataclass(frozen=True)
class UserFile:
    """The function that ``name``, ``FILE.py:FUNCTION``, names, with the file's text."""

    name: str
    path: Path
    source: bytes


class UserMetric(ItemMean):
    """A function of a user's file as a metric; its name is the reference by which the spec named it.

    Raises:
        ConfigError: the file raises when it is run, ends its process, or has no such function.
    """

    binary = False

    def __init__(self, file: UserFile) -> None:
        self.name = file.name
        self._file = file
        self._lock = Lock()
        script = [sys.executable, "-I", str(user_script.__file__)]
        self._process = start_kept(script, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8")
        self._close = weakref.finalize(self, _end, self._process)
        self._load()

    def _load(self) -> None:
        function = self.name.rpartition(":")[2]
        text = self._file.source.decode("utf-8", "surrogateescape")
        first = {"path": str(self._file.path), "source": text, "function": function, "import_path": sys.path}
        found = self._ask(first, None)
        if "absent" in found:
            raise ConfigError(
                f"the file defines no function {function}",
                where=self.name,
                fix=f"define {function}(prediction, reference)",
            )
        if "raised" in found:
            raise ConfigError(
                f"the metric's file raised {found['raised']}",
                where=self.name,
                fix="make the file importable: python -c 'import my_metric'",
            )

    def item(self, prediction: str, reference: str) -> float:
        """Return what the function returned, as a float in [0, 1].

        Raises:
            ConfigError: the function raised, ended its process, or returned something else than a number in [0, 1].
        """
        detail = f"prediction {prediction!r}, reference {reference!r}"
        found = self._ask([prediction, reference], detail)
        if "raised" in found:
            raise ConfigError(
                f"the metric raised {found['raised']}",
                where=self.name,
                fix="make it return a number in [0, 1] for every prediction and reference",
                detail=detail,
            )
        if "returned" in found:
            raise ConfigError(
                f"the metric returned {found['returned']}",
                where=self.name,
                fix="make it return a number in [0, 1], higher being better",
                detail=detail,
            )
        return float(found["score"])

    def _ask(self, line: object, detail: str | None) -> dict[str, Any]:
        """Return the answer of the process to one line."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._lock:
            try:
                self._process.stdin.write(json.dumps(line) + "\n")
                self._process.stdin.flush()
                answer = self._process.stdout.readline()
            except BrokenPipeError:
                answer = ""
        if answer:
            found: dict[str, Any] = json.loads(answer)
            return found
        raise ConfigError(
            f"the metric ended its process ({describe_exit(self._process.wait())})",
            where=self.name,
            fix="return a number instead of leaving, and see what it wrote to standard error",
            detail=detail,
        )

    def verify(
        self,
        predictions: Sequence[str],
        references: Sequence[str],
        scores: Sequence[float],
        rows: Sequence[int],
        advance: Callable[[int], object] = int,
    ) -> None:
        """Score again, by the file loaded anew and in the opposite order: the same answers have the same scores.

        ``rows`` are the items' source rows. ``advance`` is told of no further items, and raises where the call must
        stop.

        Raises:
            ConfigError: an item has another score now; its row is named.
        """
        again = UserMetric(self._file)
        for prediction, reference, score, row in reversed(
            list(zip(predictions, references, scores, rows, strict=True))
        ):
            second = again.item(prediction, reference)
            if abs(second - score) > _EQUAL:
                raise ConfigError(
                    f"the metric scored the same answer {score:g}, then {second:g}",
                    where=f"{self.name}, source row {row}",
                    fix="make the score depend on prediction and reference alone: seed what is random, keep no state",
                    detail=f"prediction {prediction!r}, reference {reference!r}",
                )
            advance(0)


def _end(process: subprocess.Popen[str]) -> None:
    for stream in (process.stdin, process.stdout):
        assert stream is not None
        try:
            stream.close()
        except BrokenPipeError:
            continue
    try:
        process.wait(_GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        stop_kept(process, 0.0)


def is_user_metric(name: str) -> bool:
    """Tell whether ``name`` names a file (``./my_metric.py:score``) rather than a metric of the registry."""
    return ".py:" in name or name.endswith(".py")


def load_user_metric(name: str, *, root: Path) -> UserMetric:
    """Return the metric that ``name``, ``FILE.py:FUNCTION`` with the file relative to ``root``, names.

    Raises:
        ConfigError: no function is named, it is missing or cannot be called, the file raises when it is run,
            or it lies outside ``root``.
        SourceError: the file cannot be read.
    """
    file, _, function_name = name.rpartition(":")
    if not file or not function_name.isidentifier():
        raise ConfigError("the function of a metric's file is not named", where=name, fix="write ./my_metric.py:score")
    path = (root / file).resolve()
    if not path.is_relative_to(root.resolve()):
        raise ConfigError(
            "the metric's file lies outside the folder of the spec", where=name, fix="put it beside the spec"
        )
    try:
        source = path.read_bytes()
    except OSError as error:
        raise SourceError(
            f"the metric's file cannot be read: {error.strerror}", where=name, fix="check the path"
        ) from error
    return UserMetric(UserFile(name, path, source))
