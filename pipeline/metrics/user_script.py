"""Run a user's function over JSON lines, in a process of its own.

Run as a file, ``python user_script.py``, without hone's packages, for `pipeline.metrics.user_metric`. The first line on
standard input is ``{"path", "source", "function", "import_path"}``, each further one ``[prediction, reference]``; each
is answered by a line ``{"score"}``, ``{"raised"}``, ``{"returned"}`` or, to the first, ``{"absent"}``. Whatever the
user's code prints goes to standard error.
"""

from __future__ import annotations

import json
import math
import os
import sys
from hashlib import sha256
from types import ModuleType
from typing import Any, TextIO


def take_streams() -> tuple[TextIO, TextIO]:
    """Return what was standard input and output, which the user's code gets neither of."""
    asked = os.fdopen(os.dup(0), encoding="utf-8")
    told = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    return asked, told


def run_module(source: str, path: str) -> ModuleType:
    """Run ``source`` as a module whose private name follows from its content."""
    module = ModuleType(f"_hone_user_{sha256(source.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}")
    module.__file__ = path
    # Dataclasses and the like look their module up here.
    sys.modules[module.__name__] = module
    # importlib would leave a bytecode cache beside the user's file, and could run a stale one.
    code = source.encode("utf-8", "surrogateescape")
    exec(compile(code, path, "exec", dont_inherit=True), module.__dict__)  # noqa: S102
    return module


def as_number(value: object) -> float | None:
    """Return ``value`` as a float, or None where it is no real number (NumPy's scalars are)."""
    if isinstance(value, (str, bytes)) or not hasattr(value, "__float__"):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def describe(error: BaseException) -> str:
    """Return an error's kind and words."""
    return f"{type(error).__name__}: {error}"


def score(function: Any, pair: list[str]) -> dict[str, object]:
    """Return the answer to one pair."""
    try:
        returned = function(*pair)
        number = as_number(returned)
        return {"score": number} if number is not None and 0.0 <= number <= 1.0 else {"returned": repr(returned)}
    except (Exception, SystemExit) as error:  # noqa: BLE001  whatever a user's code raises is told
        return {"raised": describe(error)}


def main() -> int:
    """Answer lines until there are no more."""
    asked, told = take_streams()

    def tell(line: dict[str, object]) -> None:
        told.write(json.dumps(line) + "\n")

    first = json.loads(asked.readline())
    sys.path[:] = first["import_path"]
    try:
        function = getattr(run_module(first["source"], first["path"]), first["function"], None)
    except (Exception, SystemExit) as error:  # noqa: BLE001  as above
        tell({"raised": describe(error)})
        return 0
    if not callable(function):
        tell({"absent": True})
        return 0
    tell({})
    for line in asked:
        tell(score(function, json.loads(line)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
