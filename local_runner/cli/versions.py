"""`hone promote` and `hone rollback`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from local_runner.cli.common import (
    DEFAULT_WORKSPACE,
    JsonOption,
    WorkspaceOption,
    console,
    registry,
    workspace_root,
)
from pipeline.control.output import print_json

if TYPE_CHECKING:
    from pipeline.control.versions import Move

VersionArgument = Annotated[str, typer.Argument(help="name@champion, name@candidate, name@3, or name (its champion).")]
ReasonOption = Annotated[str | None, typer.Option(help="Why a refused version is promoted; stays on its card.")]


def promote(
    version: VersionArgument,
    reason: ReasonOption = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    as_json: JsonOption = False,
) -> int:
    """Make a version the champion."""
    from pipeline.control.versions import promote as move

    root = workspace_root(workspace)
    return _show(move(root, registry(root), version, reason), as_json)


def rollback(
    name: Annotated[str, typer.Argument(help="The registered name.")],
    to: Annotated[
        int | None, typer.Option(help="The version to go back to; the champion before this one if left out.")
    ] = None,
    reason: ReasonOption = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    as_json: JsonOption = False,
) -> int:
    """Make an earlier champion the champion again."""
    from pipeline.control.versions import roll_back

    root = workspace_root(workspace)
    return _show(roll_back(root, registry(root), name, to, reason), as_json)


def _show(move: Move, as_json: bool) -> int:
    if as_json:
        print_json({"name": move.name, "champion": move.after, "before": move.before, "override_reason": move.reason})
    else:
        before = f" (was {move.before})" if move.before is not None else ""
        console().print(f"{move.name}: version {move.after} is champion{before}")
    return 0
