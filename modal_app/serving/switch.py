"""When a container of the endpoint has to make room for one that serves another version."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from modal_app.leases import Entries
from modal_app.serving.keys import served_key


@dataclass
class Switch:
    """Sees in the Dict that another version is to be served.

    The registry on the Volume says what that is; the Dict says when to look there again, for a Volume cannot be
    reloaded while an engine has its files open. What the Dict said when this container began may be older than the
    registry, and counts no more.

    Args:
        state: the Dict.
    """

    state: Entries
    _before: dict[str, int | None] = field(default_factory=dict)
    _serves: dict[str, int] = field(default_factory=dict)

    def agrees(self, versions: Mapping[str, int]) -> bool:
        """Tell whether the Dict says the same as the registry did, and remember what it says.

        Where it does not, the registry is to be read once more: it may have changed just after it was read.
        """
        self._before = {name: self._said(name) for name in versions}
        return all(said in (None, versions[name]) for name, said in self._before.items())

    def serves(self, versions: Mapping[str, int]) -> None:
        """Say what this container serves, by name."""
        self._serves = dict(versions)

    def due(self) -> str | None:
        """Return what is to be served instead, in words; None while nothing is."""
        for name, version in self._serves.items():
            said = self._said(name)
            if said == self._before.get(name):
                continue
            if said is not None and said != version:
                return f"{name}@{said} is to be served instead of {name}@{version}"
            self._before[name] = said
        return None

    def _said(self, name: str) -> int | None:
        value = self.state.get(served_key(name))
        return None if value is None else int(value)
