"""`hone data check`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from local_runner.cli.common import DEFAULT_WORKSPACE, JsonOption, WorkspaceOption, console, messages
from local_runner.cli.run import SetOption, interruptible, open_session
from pipeline.control.output import print_json
from pipeline.core.errors import DataError
from schemas.errors import ExitCode

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from local_runner.check import DataCheck
    from schemas.data import Example

app = typer.Typer(help="Look at a run's data before it is trained on.", no_args_is_help=True)


@app.callback()
def data() -> None:
    """Look at a run's data before it is trained on."""


@app.command()
def check(
    spec: Annotated[Path, typer.Argument(help="The run description, a YAML file.")],
    show_mask: Annotated[
        bool, typer.Option("--show-mask", help="Show training rows and which tokens are trained.")
    ] = False,
    rows: Annotated[int, typer.Option(min=1, max=1000, help="How many rows --show-mask shows.")] = 3,
    overrides: SetOption = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    as_json: JsonOption = False,
) -> int:
    """Read, clean and split a run's data as the run will, and tell what was found; the run reuses the result.

    Errors would refuse the run, and end this command with the code for data. docs/preflight.md has every class.
    """
    from local_runner.check import check_data, masked_rows
    from pipeline.control.display import Display

    session, out = open_session(workspace, writes=True), messages()
    run = session.resolve(spec, overrides or [])
    with interruptible(out) as cancelled, Display(out, quiet=as_json) as display:
        checked = check_data(session, run, display, cancelled)
    color = not as_json and console().color_system is not None
    masked = masked_rows(checked, rows, color=color) if show_mask else []
    if as_json:
        shown = [{"row": example.row, "split": "train", "text": text.plain} for example, text in masked]
        print_json({**checked.as_json(), **({"mask": shown} if show_mask else {})})
    else:
        _show(checked, masked, color=color)
    refused = checked.refusal
    if refused is not None and not as_json:
        raise DataError(refused.message, where=refused.where, fix=refused.fix)  # the table has told the rest
    return ExitCode.OK if refused is None else refused.exit_code


def _show(checked: DataCheck, masked: list[tuple[Example, Text]], *, color: bool) -> None:
    from rich.markup import escape
    from rich.table import Table

    from local_runner.check import facts
    from local_runner.show_rows import CLOSE, OPEN

    out = console()
    for example, text in masked:
        out.print(f"[bold]train, row {example.row}[/]")
        out.print(text, soft_wrap=True)
    if masked:
        how = "[black on green]green[/]" if color else f"{OPEN}brackets{CLOSE}"
        out.print(f"trained tokens are in {how}\n")
    out.print(_findings_table(checked))
    table = Table(box=None, pad_edge=False, show_header=False)
    for fact in facts(checked):
        table.add_row(fact.name, escape(fact.value), escape(fact.remark))
    out.print(table)
    out.print(f"card: {escape(str(checked.data.file('card.md')))}", soft_wrap=True)


def _findings_table(checked: DataCheck) -> Table:
    """Return what was found: errors, warnings, what is ignored; each with its rows and what to do."""
    from rich.markup import escape
    from rich.table import Table

    from local_runner.check import findings
    from pipeline.core.findings import place_of, without_place
    from schemas.faults import FAULTS

    marks = {"error": "[red]✗ error[/]", "warning": "[yellow]! warning[/]"}
    table = Table(box=None, pad_edge=False, show_header=False)
    for one in findings(checked):
        fault = FAULTS[one.code]
        told = without_place(one)
        mark = "[dim]- ignored[/]" if one.ignored else marks[one.severity]
        table.add_row(mark, one.code, escape(place_of(one)), f"{escape(told)}\n[dim]fix: {escape(fault.fix)}[/]")
    return table
