"""hone on Modal: where the stages run. On import it checks that hone's packages are its own.

Every module here may be what ``modal run -m`` or ``modal deploy -m`` names, so the check stands where all pass. It can
use none of hone's other packages, which may be somebody else's.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

PACKAGES = ("schemas", "pipeline", "modal_app")
"""What containers run; all lie in one folder."""


def shadowed() -> str | None:
    """Return a sentence that names the path which shadows one of hone's packages, or None."""
    home = Path(__file__).resolve().parent.parent
    for name in PACKAGES:
        spec = importlib.util.find_spec(name)
        origin = spec.origin if spec is not None else None
        found = Path(origin).resolve().parent if origin else None
        if found is None or found.parent != home:
            return (
                f"package {name!r} is found at {found or 'nothing'}, but hone's own is at {home / name}; "
                "run from another folder, or remove the other package from PYTHONPATH"
            )
    return None


def look_here_last() -> None:
    """Put the current folder behind all others: ``modal run -m`` put it first, though hone lies elsewhere."""
    here = Path.cwd().resolve()
    last = [entry for entry in sys.path if not entry or Path(entry).resolve() == here]
    sys.path[:] = [*(entry for entry in sys.path if entry not in last), *last]


def check_parent() -> None:
    """End the process where something else would be run, or sent to Modal, as hone's code.

    Raises:
        SystemExit: another package of the same name is in the way; standard error names it.
    """
    if shadowed() is not None:
        look_here_last()
    problem = shadowed()
    if problem is not None:
        sys.stderr.write(f"error: {problem}\n")
        raise SystemExit(5)


check_parent()
