"""Base models that come with hone; local_runner/demo/make_base.py makes them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

TINY_BASE = Path(__file__).parent / "tiny_base"

EMBEDDED: Mapping[str, Path] = {"hone:tiny": TINY_BASE}
"""Folders by the names that run descriptions use."""
