"""From a launch description to a command."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipeline.core.models import ModelFiles
from pipeline.serve.backends import BASE, HOST, LAUNCH, MODEL, PORT
from schemas.serve import LaunchDescription

LAUNCH_FILE = "launch.json"
_EVERYWHERE = ("0.0.0.0", "::", "")  # noqa: S104 - recognized, not bound


@dataclass(frozen=True)
class Places:
    """What a description leaves open: the model's files, the description's folder, the address to listen on."""

    files: ModelFiles
    launch: Path
    host: str
    port: int

    @property
    def url(self) -> str:
        """The API's address as a client on this machine reaches it, ending in ``/v1``."""
        host = "127.0.0.1" if self.host in _EVERYWHERE else self.host
        return f"http://[{host}]:{self.port}/v1" if ":" in host else f"http://{host}:{self.port}/v1"

    def fill(self, argument: str) -> str:
        """Return ``argument`` with every place filled in."""
        model = self.files.weights if self.files.adapter is None else str(self.files.adapter)
        for place, value in (
            (MODEL, model),
            (BASE, self.files.weights),
            (LAUNCH, str(self.launch)),
            (HOST, self.host),
            (PORT, str(self.port)),
        ):
            argument = argument.replace(place, value)
        return argument


def arguments(launch: LaunchDescription, places: Places) -> list[str]:
    """Return the interpreter's arguments that bring the description up."""
    return ["-m", launch.module, *(places.fill(argument) for argument in launch.arguments)]
