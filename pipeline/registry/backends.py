"""The one door from the registry to its backends."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, assert_never

from pipeline.core.registry import Registry

RegistryBackend = Literal["mlflow"]


def open_registry(database: Path, backend: RegistryBackend = "mlflow") -> Registry:
    """Return the registry in ``database``; the file is made by the first writer. Nothing heavy is imported to read."""
    match backend:
        case "mlflow":
            from pipeline.backends.track_mlflow import MlflowRegistry

            return MlflowRegistry(database)
        case _:
            assert_never(backend)
