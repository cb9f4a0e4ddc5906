"""What the gateway asks the registry, through whoever hosts it."""

from __future__ import annotations

from typing import Protocol

from schemas.feedback import VersionFacts


class Catalogue(Protocol):
    """Versions and who is champion. Methods are called from several threads."""

    def champion(self, name: str) -> str | None:
        """Return the version (``name@3``) that is champion; None where the name is not registered."""

    def facts(self, version: str) -> VersionFacts | None:
        """Return what is known of a version; None where it is not registered."""

    def promote(self, version: str) -> None:
        """Make a version champion.

        Raises:
            HoneError: its gate refused it, or there is none.
        """


class NoCatalogue:
    """A gateway without a registry: its configuration says who is champion."""

    def champion(self, name: str) -> str | None:  # noqa: ARG002
        """Return None."""
        return None

    def facts(self, version: str) -> VersionFacts | None:  # noqa: ARG002
        """Return None."""
        return None

    def promote(self, version: str) -> None:
        """Do nothing: the next start goes on from the rollouts that ended."""
