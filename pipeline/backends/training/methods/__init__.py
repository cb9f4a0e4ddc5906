"""The trainer of each method: a file of its name, with `build`."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.backends.training.job import TrainerBuilder
    from schemas.methods import TrainMethod


def load_builder(method: TrainMethod) -> TrainerBuilder:
    """Return what makes a method's trainer; other methods' libraries are not loaded."""
    builder: TrainerBuilder = import_module(f"{__name__}.{method}").build
    return builder
