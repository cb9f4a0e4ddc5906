"""Who answers: engines that a host of the service starts and stops."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Target:
    """What is asked: a version (``name@3``, or ``name@champion`` for whatever that is now), or a checkpoint of the
    training that made it, by its folder relative to the workspace.
    """

    version: str
    checkpoint: str | None = None


@dataclass(frozen=True)
class Registered:
    """A registered version as lists have it: ``name@3``, and the aliases that point at it. ``created`` is Unix time."""

    version: str
    aliases: tuple[str, ...]
    created: int = 0


@dataclass(frozen=True)
class Lent:
    """An engine that answers, until it is given back.

    ``base_url`` ends in ``/v1``; ``model`` is what the engine calls what it serves, ``version`` what that is.
    """

    base_url: str
    model: str
    version: str


class Engines(Protocol):
    """Engines by what they serve. Methods are called from many threads."""

    def registered(self) -> Sequence[Registered]:
        """Return every version that could be asked."""

    def lend(self, target: Target) -> Lent:
        """Return an engine that serves ``target``, started first where none does; it stays until it is given back.

        Raises:
            RegistryError: there is no such version.
            HoneError: it cannot be served here.
        """

    def give_back(self, lent: Lent) -> None:
        """Say that an answer is complete."""

    def close(self) -> None:
        """Stop every engine."""
