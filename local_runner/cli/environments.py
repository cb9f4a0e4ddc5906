"""`hone env create` and `hone env list`."""

from __future__ import annotations

from typing import Annotated

import typer

from local_runner.cli.common import JsonOption, console, messages
from pipeline.control.output import print_json

app = typer.Typer(help="Local environments, each built from its pinned file.", no_args_is_help=True)


@app.command("list")
def list_(as_json: JsonOption = False) -> int:
    """List the environments and whether they are installed."""
    from local_runner.environments import list_environments

    if as_json:
        listed = [
            {"name": found.name, "digest": found.digest, "path": str(found.path), "installed": found.installed}
            for found in list_environments()
        ]
        print_json({"environments": listed})
        return 0
    for found in list_environments():
        state = "installed" if found.installed else f"not installed: hone env create {found.name}"
        console().print(f"{found.name:20} {found.digest[:12]}  {state}", soft_wrap=True)
    return 0


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="serve-vllm, or optimize-legacy.")], as_json: JsonOption = False
) -> int:
    """Build an environment; one that is there is left alone."""
    from rich.progress import Progress

    from local_runner.environments import create as build

    with Progress(console=messages(), disable=as_json) as progress:
        task = progress.add_task(name, total=None)
        made = build(
            name, lambda label, done, total: progress.update(task, description=label, completed=done, total=total)
        )
    if as_json:
        print_json({"name": made.name, "digest": made.digest, "path": str(made.path)})
    else:
        console().print(f"{made.name} is ready", soft_wrap=True)
    return 0
