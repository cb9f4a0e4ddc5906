"""`hone plan`: what a run would do, take and show, before anything is spent."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from local_runner.cli.common import DEFAULT_WORKSPACE, JsonOption, WorkspaceOption, console, messages
from local_runner.cli.run import SetOption, interruptible, open_session
from pipeline.control.output import print_json


def plan(
    spec: Annotated[Path | None, typer.Argument(help="The run description, a YAML file.")] = None,
    acp: Annotated[Path | None, typer.Option("--acp", help="Answer this FINETUNE_MODEL message instead.")] = None,
    overrides: SetOption = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    as_json: JsonOption = False,
) -> int:
    """Plan a run: method, hardware, hours, dollars, and the gain that the test split could show.

    A plan that no GPU keeps within the constraints ends with the exit code of a used-up budget; a message is always
    answered, and says whether it is feasible.
    """
    from pipeline.core.errors import ConfigError

    if (spec is None) == (acp is None):
        raise ConfigError("give a run description, or a message with --acp", where="hone plan", fix="hone plan --help")
    if acp is not None:
        from local_runner.acp import answer_file

        print_json(answer_file(acp, overrides or []))
        return 0
    assert spec is not None
    return _plan_spec(spec, overrides or [], workspace, as_json)


def _plan_spec(spec: Path, overrides: list[str], workspace: Path, as_json: bool) -> int:
    from pipeline.control.display import Display
    from pipeline.control.plan_text import show_plan
    from pipeline.execute import load
    from schemas.errors import ExitCode

    session, out = open_session(workspace, writes=True), messages()
    run = session.resolve(spec, overrides, for_plan=True)
    with interruptible(out) as cancelled, Display(out, quiet=as_json) as display:
        made = load(session.store, session.try_out(run, "plan", display, cancelled)["plan"])
    if as_json:
        print_json(made.artifact)
    else:
        show_plan(made.artifact, run.spec, console())
    return int(ExitCode.OK if made.artifact.feasible else ExitCode.BUDGET)
