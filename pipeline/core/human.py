"""Where human evaluations lie in a workspace."""

from __future__ import annotations

from pathlib import Path

HUMAN = "human"


def human_folder(root: Path, sheet: str) -> Path:
    """Return the folder of a sheet: its key, and what came back."""
    return root / HUMAN / sheet
