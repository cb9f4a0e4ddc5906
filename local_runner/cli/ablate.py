"""`hone ablate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from local_runner.cli.common import DEFAULT_WORKSPACE, JsonOption, WorkspaceOption, console, messages
from local_runner.cli.run import SetOption, interruptible, open_session
from pipeline.control.output import print_json


def ablate(
    spec: Annotated[Path, typer.Argument(help="The run description, a YAML file.")],
    vary: Annotated[
        list[str], typer.Option(help="A key and its other values: train.lora.r=4,16. Each is tried alone.")
    ],
    seeds: Annotated[
        int | None, typer.Option(help="Trainings of each setting; the description's seeds, or three, if left out.")
    ] = None,
    overrides: SetOption = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the page; in the workspace if left out.")] = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    as_json: JsonOption = False,
) -> int:
    """Change keys one at a time over several seeds, and tell which of them matter."""
    from pipeline.control.ablation import Ablate
    from pipeline.control.ablation_page import show_ablation, write_ablation
    from pipeline.control.ablation_settings import chosen_seeds, settings
    from pipeline.control.display import Display
    from pipeline.core.spec import read_spec

    varied = settings(vary)
    chosen = chosen_seeds(read_spec(spec, overrides or []).train.seeds, seeds)
    session = open_session(workspace, writes=True)
    err = messages()

    def announce(line: str) -> None:
        if not as_json:
            err.print(line, markup=False, soft_wrap=True)

    with interruptible(err) as cancelled, Display(err, quiet=as_json) as display:
        found = Ablate(session, spec, tuple(overrides or ()), display, cancelled, announce).carry_out(varied, chosen)
    page = write_ablation(found, out or session.root / "ablations" / found.id)
    if as_json:
        print_json({**found.as_json(), "page": str(page)})
    else:
        show_ablation(found, console())
        console().print(f"Page: {page}", markup=False, soft_wrap=True)
    return 0
