"""From the arguments after ``modal run -m modal_app.main`` to a verb's exit code."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Sequence
from typing import Any

import typer
from rich.console import Console

from pipeline.control.display import show_error
from pipeline.control.output import print_json
from pipeline.core.errors import as_hone_error
from schemas.errors import ExitCode


def carry_out(command: Callable[..., int], arguments: Sequence[str]) -> int:
    """Run one verb and return its exit code; errors are told on standard error, or as JSON with ``--json``."""
    from typer._click.exceptions import ClickException  # Typer has its own; the click package is another class

    cli = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    cli.command()(_interruptible(command))
    try:
        code = cli(args=list(arguments), prog_name=_name(command), standalone_mode=False)
        return int(code) if isinstance(code, int) else 0
    except typer.Exit as stop:
        return stop.exit_code
    except typer.Abort:
        return int(ExitCode.CANCELLED)
    except ClickException as error:
        error.show()
        return error.exit_code
    except Exception as error:  # noqa: BLE001 - the boundary: no traceback reaches a user
        known = as_hone_error(error)
        if "--json" in arguments:
            print_json({"error": known.record().model_dump()})
        else:
            show_error(Console(stderr=True, highlight=False), known)
        return int(known.exit_code)


def _interruptible(command: Callable[..., int]) -> Callable[..., int]:
    """Return a verb that says what Ctrl-C means; Typer would end it without a word."""

    @functools.wraps(command)
    def carried_out(*arguments: Any, **options: Any) -> int:
        try:
            return command(*arguments, **options)
        except KeyboardInterrupt:
            sys.stderr.write("\nstopped watching; a run goes on where it was started with modal run --detach\n")
            return int(ExitCode.CANCELLED)

    return carried_out


def _name(command: Callable[..., int]) -> str:
    """Return how a verb is called; the run itself is what is called without one."""
    verb = "" if command.__name__ == "run" else f"::{command.__name__}"
    return f"modal run -m modal_app.main{verb}"
