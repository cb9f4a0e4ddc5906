"""The `hone` command's entry: checks that its packages are its own, runs the command, turns errors into exit codes."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typer._click.exceptions import ClickException

PACKAGES = ("schemas", "pipeline", "local_runner")
"""Packages that must lie beside each other; their names are common, so something else may be in the way."""


CANCELLED = 130
"""The exit code of an interrupted command."""


def shadowed() -> str | None:
    """Return a sentence that names the path which shadows one of hone's packages, or None."""
    home = Path(__file__).resolve().parent.parent
    for name in PACKAGES:
        spec = importlib.util.find_spec(name)
        origin = spec.origin if spec is not None else None
        found = Path(origin).resolve().parent if origin else None
        if found is None or found.parent != home:
            place = found or "nothing"
            return (
                f"package {name!r} is found at {place}, but hone's own is at {home / name}; "
                "run hone from another folder, or remove the other package from PYTHONPATH"
            )
    return None


def entry() -> None:
    """Run the command line; the process ends with a documented exit code."""
    # Threads that wait give their core away: on a shared machine a spinning one costs several times the work itself.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("TQDM_DISABLE", "1")  # progress is told by events; libraries' own bars would break in
    problem = shadowed()
    arguments = sys.argv[1:]
    if problem is not None:
        sys.exit(_tell_shadowed(problem, "--json" in arguments))
    sys.exit(run_command(arguments))


def _tell_shadowed(problem: str, as_json: bool) -> int:
    """Tell it without any of hone's packages, which may be another's."""
    if as_json:
        fix = "run hone from another folder, or correct PYTHONPATH"
        record = {"code": "environment", "message": problem, "where": "PYTHONPATH", "fix": fix, "detail": None}
        sys.stdout.write(json.dumps({"error": record}, indent=2) + "\n")
    else:
        sys.stderr.write(f"error: {problem}\n")
    return 5


def run_command(arguments: list[str]) -> int:
    """Run one command and return its exit code; errors are told on standard error, or as JSON with ``--json``."""
    import typer
    from typer._click.exceptions import ClickException  # Typer has its own; the click package is another class

    from local_runner.cli.app import app

    as_json = "--json" in arguments
    try:
        code = app(args=arguments, prog_name="hone", standalone_mode=False)
        if code == CANCELLED and not as_json:  # also what Typer makes of a KeyboardInterrupt
            sys.stderr.write("\nstopped; run the same command again to go on\n")
        return int(code) if isinstance(code, int) else 0
    except typer.Exit as stop:
        return stop.exit_code
    except (typer.Abort, KeyboardInterrupt):
        return _tell_stopped(as_json)
    except ClickException as error:
        return _tell_usage(error, as_json)
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    except Exception as error:  # noqa: BLE001 - the boundary: no traceback reaches a user
        return _tell(error, as_json)


def _tell_stopped(as_json: bool) -> int:
    from pipeline.core.errors import Cancelled

    if as_json:
        return _tell(Cancelled("stopped", fix="run the same command again to go on"), as_json)
    sys.stderr.write("\nstopped; run the same command again to go on\n")
    return CANCELLED


def _tell_usage(error: ClickException, as_json: bool) -> int:
    """Tell that a command, option or argument is wrong; for people as Typer does."""
    from pipeline.core.errors import UsageError

    if not as_json:
        error.show()
        return error.exit_code
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "hone"
    return _tell(UsageError(error.format_message(), where=command, fix=f"see {command} --help"), as_json)


def _tell(error: Exception, as_json: bool) -> int:
    from pipeline.core.errors import as_hone_error

    known = as_hone_error(error)
    if as_json:
        sys.stdout.write(json.dumps({"error": known.record().model_dump()}, indent=2) + "\n")
    else:
        from local_runner.cli.common import messages
        from pipeline.control.display import show_error

        show_error(messages(), known)
    return int(known.exit_code)


if __name__ == "__main__":
    entry()
