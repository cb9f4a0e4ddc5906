"""`hone run`, `hone demo` and `hone status`."""

from __future__ import annotations

import shlex
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from local_runner.cli.common import (
    DEFAULT_WORKSPACE,
    JsonOption,
    WorkspaceOption,
    absolute,
    console,
    messages,
    registry,
    workspace_root,
    writable_root,
)
from pipeline.control.options import StageOption, run_options
from pipeline.control.output import print_json

if TYPE_CHECKING:
    from rich.console import Console

    from pipeline.control.controller import Outcome
    from pipeline.control.options import RunOptions
    from pipeline.control.session import Prepared, Session


class PlaceOption(StrEnum):
    """Where the work is carried out."""

    here = "here"
    modal = "modal"


SetOption = Annotated[list[str] | None, typer.Option("--set", help="Override one key: train.learning_rate=1e-4.")]


@contextmanager
def interruptible(out: Console) -> Iterator[Callable[[], bool]]:
    """Turn the first Ctrl-C (or SIGTERM) into a request to stop and save; a second one stops at once.

    ``out`` is the console of the bars, if there are any: text from another one would break into them.
    """
    asked = {"stop": False}

    def request(_signal: int, _frame: object) -> None:
        if asked["stop"]:
            raise KeyboardInterrupt
        asked["stop"] = True
        out.print("stopping after the current step; press Ctrl-C again to stop at once")

    previous = {number: signal.signal(number, request) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: asked["stop"]
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def open_session(workspace: Path, *, writes: bool = False) -> Session:
    """Return the session of a workspace; one that ``writes`` needs a folder that can be written."""
    from local_runner.caller import LocalCaller
    from pipeline.control.session import Session
    from pipeline.core.secrets import visible_secrets

    root = writable_root(workspace) if writes else workspace_root(workspace)
    return Session(root, lambda: registry(root), LocalCaller(), visible_secrets())


def run(
    spec: Annotated[Path, typer.Argument(help="The run description, a YAML file.")],
    overrides: SetOption = None,
    first: Annotated[
        StageOption | None, typer.Option("--from", help="Take earlier stages only as they are stored.")
    ] = None,
    last: Annotated[StageOption | None, typer.Option("--until", help="Call nothing after this stage.")] = None,
    fresh: Annotated[list[StageOption] | None, typer.Option(help="Make this stage again even if it is stored.")] = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    place: Annotated[
        PlaceOption,
        typer.Option("--on", help="Where stages run. With modal, --workspace receives record and report."),
    ] = PlaceOption.here,
    max_cost: Annotated[
        float | None, typer.Option(min=0.0, help="With --on modal: US dollars at which the run stops.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="With --on modal: take the default cap unasked.")] = False,
    detach: Annotated[bool, typer.Option("--detach", help="With --on modal: go on without this machine.")] = False,
    as_json: JsonOption = False,
) -> int:
    """Carry out a run; what is finished is not done again."""
    options = run_options(first, last, fresh or ())
    if place is PlaceOption.here:
        refuse_here({"--max-cost": max_cost is not None, "--yes": yes, "--detach": detach})
        return carry_out(open_session(workspace, writes=True), spec, overrides or [], options, as_json)
    from local_runner.on_modal import ModalRun, run_on_modal

    modal_run = ModalRun(
        spec=spec,
        overrides=tuple(overrides or ()),
        first=options.first,
        last=options.last,
        fresh=tuple(sorted(options.fresh)),
        max_cost=max_cost,
        yes=yes,
        to=None if workspace == DEFAULT_WORKSPACE else absolute(workspace),
        detach=detach,
        as_json=as_json,
    )
    return run_on_modal(modal_run)


def refuse_here(given: dict[str, bool]) -> None:
    """Refuse options that say something about a run on Modal only.

    Raises:
        UsageError: one was given.
    """
    from pipeline.core.errors import UsageError

    for option, was_given in given.items():
        if was_given:
            fix = f"add --on modal, or drop {option}"
            raise UsageError(f"{option} is for runs on Modal", where="hone run", fix=fix)


def carry_out(session: Session, spec: Path, overrides: list[str], options: RunOptions, as_json: bool) -> int:
    """Carry out a description, write its report, tell how it ended, and return the exit code."""
    from rich.markup import escape

    from local_runner.kernels import check_kernels
    from local_runner.pins import warn_of_packages
    from pipeline.control.display import Display

    resolved = session.resolve(spec, overrides)
    if options.last is None:
        check_kernels(resolved.spec)
    prepared = session.prepare(resolved)
    out = messages()
    if not as_json:
        out.print(f"run [bold]{prepared.directory.run}[/] in {escape(str(session.root))}", soft_wrap=True)
    with interruptible(out) as cancelled, Display(out, quiet=as_json) as display:
        warn_of_packages(prepared.directory, display)
        outcome = session.carry_out(prepared, options, display, cancelled)
    return _conclude(session, prepared, outcome, as_json)


def _conclude(session: Session, prepared: Prepared, outcome: Outcome, as_json: bool) -> int:
    from pipeline.control.conclusion import conclude, exit_code

    conclusion = conclude(session, prepared, outcome)
    if as_json:
        print_json(conclusion.as_json())
    else:
        conclusion.show(console(), messages())
        if session.root != absolute(DEFAULT_WORKSPACE):
            hint = f"for other commands on this workspace: export HONE_WORKSPACE={shlex.quote(str(session.root))}"
            messages().print(hint, markup=False, style="dim", soft_wrap=True)
    return int(exit_code(conclusion))


def demo(
    folder: Annotated[Path, typer.Argument(help="Where the demo's data and workspace go.")] = Path("hone-demo"),
    rows: Annotated[int, typer.Option(min=1000, help="Rows of synthetic data to write.")] = 6000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the synthetic data.")] = 0,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> int:
    """Run the main job on a synthetic task and a tiny base model that come with hone."""
    from local_runner.demo.spec import write_demo
    from pipeline.control.options import RunOptions

    session = open_session(folder / ".hone", writes=True)
    spec = write_demo(folder, rows=rows, seed=seed)
    return carry_out(session, spec, overrides or [], RunOptions(), as_json)


def status(
    name: Annotated[str | None, typer.Argument(help="A run's id or name; the newest if left out.")] = None,
    acp: Annotated[bool, typer.Option("--acp", help="Print the compressed training_status message.")] = False,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    as_json: JsonOption = False,
) -> int:
    """Show how a run stands: every call, live progress, losses."""
    from pipeline.control.status import run_status

    session = open_session(workspace)
    directory = session.runs.find(name)
    current = run_status(session.store, directory)
    if acp:
        from local_runner.acp import training_status

        print_json(training_status(directory, current))
    elif as_json:
        print_json(current.as_json())
    else:
        current.show(console())
    return 0
