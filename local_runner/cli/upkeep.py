"""`hone gc` and `hone doctor`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from local_runner.cli.common import (
    DEFAULT_WORKSPACE,
    JsonOption,
    WorkspaceOption,
    absolute,
    console,
    existing_root,
    registry,
)
from pipeline.control.output import print_json


def gc(
    run: Annotated[list[str] | None, typer.Option(help="Forget this run first, by id or name.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would be removed.")] = False,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    as_json: JsonOption = False,
) -> int:
    """Remove artifacts that no run and no version refers to, and abandoned work."""
    from pipeline.control.gc import find_garbage, remove
    from pipeline.core.workspace import Store

    root = existing_root(workspace)
    garbage = find_garbage(Store(root), registry(root), run or ())
    if not dry_run:
        remove(Store(root), garbage)
    if as_json:
        print_json({**garbage.as_json(), "removed": not dry_run})
    else:
        console().print(garbage.sentence("would remove" if dry_run else "removed"), soft_wrap=True)
    return 0


def doctor(workspace: WorkspaceOption = DEFAULT_WORKSPACE, as_json: JsonOption = False) -> int:
    """Look at this machine and say what is missing and how to get it."""
    from rich.markup import escape

    from local_runner.doctor import examine
    from schemas.errors import ExitCode

    checks = examine(absolute(workspace))
    failed = any(check.level == "error" for check in checks)
    if as_json:
        print_json({"ok": not failed, "checks": [asdict(check) for check in checks]})
    else:
        marks = {"ok": "[green]✓[/]", "warning": "[yellow]![/]", "error": "[red]✗[/]"}
        for check in checks:
            fix = f"  → {check.fix}" if check.fix else ""
            console().print(f"{marks[check.level]} {escape(f'{check.name}: {check.found}{fix}')}", soft_wrap=True)
    return int(ExitCode.ENVIRONMENT if failed else ExitCode.OK)
