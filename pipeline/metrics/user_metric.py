"""A user's own metric: a function ``score(prediction, reference) -> float`` in a Python file, named by the spec.

The file is run as the user's own code, with the user's rights. It is loaded under a private module name and the
import path stays as it is, so that it can neither shadow a package nor be shadowed by one. What it prints goes to
standard error.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from types import ModuleType

from pipeline.core.errors import ConfigError, SourceError
from pipeline.metrics.base import ItemMean
from pipeline.metrics.user_output import to_stderr

_EQUAL = 1e-9
"""Scores of one answer that are closer than this are the same."""

Function = Callable[[str, str], object]


class UserMetric(ItemMean):
    """A function of a user's file as a metric; ``name`` is the reference by which the spec named it."""

    binary = False

    def __init__(self, name: str, load: Callable[[], Function]) -> None:
        self.name = name
        self._load = load
        self._function = load()

    def item(self, prediction: str, reference: str) -> float:
        """Return what the function returned, as a float in [0, 1].

        Raises:
            ConfigError: the function raised, or returned something else than a number in [0, 1].
        """
        try:
            with to_stderr():
                score = self._function(prediction, reference)
        except (Exception, SystemExit) as error:  # exit(0) would look like success
            raise ConfigError(
                f"the metric raised {type(error).__name__}: {error}",
                where=self.name,
                fix="make it return a number in [0, 1] for every prediction and reference",
                detail=f"prediction {prediction!r}, reference {reference!r}",
            ) from error
        value = _as_number(score)
        if value is None or not 0.0 <= value <= 1.0:
            raise ConfigError(
                f"the metric returned {score!r}",
                where=self.name,
                fix="make it return a number in [0, 1], higher being better",
                detail=f"prediction {prediction!r}, reference {reference!r}",
            )
        return value

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
        again = UserMetric(self.name, self._load)
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
    return UserMetric(name, lambda: _function(source, name, path))


def _function(source: bytes, name: str, path: Path) -> Function:
    """Run ``source`` and return the function of it that ``name`` names."""
    function_name = name.rpartition(":")[2]
    function: Function | None = getattr(_run_module(source, name, path), function_name, None)
    if function is None or not callable(function):
        raise ConfigError(
            f"the file defines no function {function_name}",
            where=name,
            fix=f"define {function_name}(prediction, reference)",
        )
    return function


def _run_module(source: bytes, name: str, path: Path) -> ModuleType:
    """Run ``source`` as a module whose private name follows from its content."""
    module = ModuleType(f"_hone_user_{sha256(source).hexdigest()[:16]}")
    module.__file__ = str(path)
    # Dataclasses and the like look their module up here.
    sys.modules[module.__name__] = module
    try:
        # importlib would leave a bytecode cache beside the user's file, and could run a stale one.
        with to_stderr():
            exec(compile(source, str(path), "exec", dont_inherit=True), module.__dict__)  # noqa: S102
    except (Exception, SystemExit) as error:
        del sys.modules[module.__name__]
        raise ConfigError(
            f"the metric's file raised {type(error).__name__}: {error}",
            where=name,
            fix="make the file importable: python -c 'import my_metric'",
        ) from error
    return module


def _as_number(value: object) -> float | None:
    """Return ``value`` as a float, or None where it is no real number (NumPy's scalars are)."""
    if isinstance(value, (str, bytes)) or not hasattr(value, "__float__"):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
