"""Keys of the app's Dict that tell what is to be served, and what was."""

from __future__ import annotations

from modal_app.settings import SETTINGS

SERVING = f"serving:{SETTINGS.app}"
"""Owner of the meters of serving containers: no run is charged with them."""

COLD_START = f"cold-start:{SETTINGS.app}"
"""What the newest container of the endpoint serves, and how long each phase of its start took."""


def served_key(name: str) -> str:
    """Return the key of the version that is to be served under a name."""
    return f"served:{name}"
