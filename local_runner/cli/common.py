"""What all commands share: options, output for people and for programs, and where the workspace is."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from pipeline.core.registry import Registry

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
WorkspaceOption = Annotated[
    Path,
    typer.Option(
        "--workspace",
        "-w",
        envvar="HONE_WORKSPACE",
        help="Folder of artifacts, runs and the registry.",
        show_default=True,
    ),
]
DEFAULT_WORKSPACE = Path(".hone")


def console() -> Console:
    """Return the console for results: standard output."""
    from rich.console import Console

    return Console(highlight=False, soft_wrap=False)


def messages() -> Console:
    """Return the console for progress and errors: standard error."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def absolute(workspace: Path) -> Path:
    """Return the workspace as an absolute path, so that a later change of folder does not move it."""
    from pipeline.core.paths import expand

    return expand(workspace).absolute()


def workspace_root(workspace: Path) -> Path:
    """Return the workspace's absolute path.

    Raises:
        StorageError: there is something else than a folder.
    """
    from local_runner.writable import not_a_folder, refuse

    root = absolute(workspace)
    refuse(root, not_a_folder(root))
    return root


def writable_root(workspace: Path) -> Path:
    """Return the workspace's absolute path, for a command that writes there.

    Raises:
        StorageError: nothing can be written there.
    """
    from local_runner.writable import refuse, unwritable

    root = absolute(workspace)
    refuse(root, unwritable(root))
    return root


def existing_root(workspace: Path) -> Path:
    """Return the absolute path of a workspace that is there, for a command that removes things.

    Raises:
        StorageError: there is none, or nothing can be written there.
    """
    from pipeline.core.errors import StorageError

    is_there = absolute(workspace).exists()
    root = writable_root(workspace)
    if not is_there:
        raise StorageError("no such workspace", where=str(root), fix="check --workspace")
    return root


def registry(root: Path) -> Registry:
    """Return the registry of a workspace: MLflow on SQLite, or the server that ``HONE_TRACKING_URI`` names.

    Raises:
        ConfigError: the variable names no server.
    """
    from pipeline.backends.track_mlflow import MlflowRegistry
    from pipeline.core.tracking import TRACKING_URI, checked_tracking_uri

    uri = os.environ.get(TRACKING_URI, "").strip()
    return MlflowRegistry(root / "mlflow.db", checked_tracking_uri(TRACKING_URI, uri) if uri else None)
