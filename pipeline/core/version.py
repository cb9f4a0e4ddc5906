"""The version of hone's code, as manifests record it."""

from __future__ import annotations

from typing import Final

CODE_VERSION: Final = "0.1.0"
"""The same as pyproject.toml's version; a test compares them."""
