"""Whether the packages of this Python are those that the main environment's file pins."""

from __future__ import annotations

import importlib.metadata
import re
import time
from collections.abc import Callable

from local_runner.environments import CURRENT
from pipeline.control.runs import RunDirectory
from pipeline.environments import requirements
from schemas.events import Event

PINS_FIX = "install pipeline/environments/main.cpu.txt (make setup)"

_SHOWN = 5


def differing() -> tuple[str, ...]:
    """Return one phrase for each pinned package that is missing or of another version; a build's suffix is no other."""
    wrong = []
    for line in requirements(CURRENT):
        name, _, rest = line.partition("==")
        wanted = re.split(r"[ ;+]", rest, maxsplit=1)[0]
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            wrong.append(f"{name} is missing")
            continue
        if version.partition("+")[0] != wanted:
            wrong.append(f"{name} is {version}, pinned {wanted}")
    return tuple(wrong)


def warn_of_packages(directory: RunDirectory, sink: Callable[[Event], None]) -> None:
    """Tell which packages differ from their pins: artifacts state the pinned environment as theirs."""
    if wrong := differing():
        message = f"the main environment is not as pinned: {shown(wrong)}; {PINS_FIX}"
        event = Event(time=time.time(), call_id="environment", kind="warning", message=message)
        directory.event_writer(event.call_id)(event)
        sink(event)


def shown(wrong: tuple[str, ...]) -> str:
    """Return the first of them in a sentence."""
    more = f"; and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
    return "; ".join(wrong[:_SHOWN]) + more
