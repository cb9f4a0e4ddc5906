"""Which environment variables are secrets that stages may ask for by name."""

from __future__ import annotations

import os

NAMED = "HF_TOKEN, *_API_KEY and HONE_SECRET_*"


def is_visible(name: str) -> bool:
    """Tell whether a stage may ask for the secret of this name; `NAMED` says it in words."""
    return name == "HF_TOKEN" or name.endswith("_API_KEY") or name.startswith("HONE_SECRET_")


def visible_secrets() -> dict[str, str]:
    """Return the secrets of this process by name: ``HF_TOKEN``, ``*_API_KEY`` and ``HONE_SECRET_*``."""
    return {name: value for name, value in os.environ.items() if is_visible(name)}
