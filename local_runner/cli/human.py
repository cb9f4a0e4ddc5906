"""`hone human export` and `hone human import`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from local_runner.cli.common import (
    DEFAULT_WORKSPACE,
    JsonOption,
    WorkspaceOption,
    console,
    messages,
    registry,
    writable_root,
)
from pipeline.control.output import print_json
from schemas.human import GUIDE_CRITERIA, SheetKind

app = typer.Typer(name="human", help="Let people judge a version blind.", no_args_is_help=True, rich_markup_mode=None)


class KindOption(StrEnum):
    """What people are asked."""

    pairwise = "pairwise"
    rating = "rating"
    both = "both"


_KINDS: dict[KindOption, tuple[SheetKind, ...]] = {
    KindOption.pairwise: ("pairwise",),
    KindOption.rating: ("rating",),
    KindOption.both: ("pairwise", "rating"),
}


@app.command("export")
def export(
    name: Annotated[str, typer.Argument(help="A version (name@3, name@champion) or a run.")],
    to: Annotated[Path, typer.Option(help="A new folder for the sheets.")],
    kind: Annotated[KindOption, typer.Option(help="Compare two answers, rate each, or both.")] = KindOption.both,
    items: Annotated[int | None, typer.Option(min=1, help="Test items to draw; all if left out.")] = None,
    against: Annotated[str | None, typer.Option(help="The baseline; the best one if left out.")] = None,
    criteria: Annotated[str, typer.Option(help="What counts, for the guidelines.")] = GUIDE_CRITERIA,
    seed: Annotated[int, typer.Option(min=0, help="Draws items, sides and order.")] = 0,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    as_json: JsonOption = False,
) -> int:
    """Write blind sheets: CSV, Label Studio's import files and guidelines. The key stays in the workspace."""
    from pipeline.control.answered import open_answered
    from pipeline.control.human import export_sheets

    root = writable_root(workspace)
    made = export_sheets(
        root,
        open_answered(root, registry(root), name),
        to,
        kinds=_KINDS[kind],
        against=against,
        criteria=criteria,
        most=items,
        seed=seed,
    )
    identical = len(made.key.identical)
    if as_json:
        files = [str(path) for path in made.files]
        rows = len(made.key.items)
        print_json({"sheet": made.key.sheet, "rows": rows, "identical": identical, "files": files})
        return 0
    out = console()
    out.print(f"sheet {made.key.sheet}: {made.key.candidate} against {made.key.baseline}", markup=False)
    for path in made.files:
        out.print(f"  {path}", markup=False, soft_wrap=True)
    if identical:
        out.print(f"{identical} items have the same answer on both sides: they are ties that nobody is asked about")
    out.print(f"the key stays in {made.key_file}; then: hone human import ANSWERS", markup=False, soft_wrap=True)
    return 0


@app.command("import")
def import_(
    answers: Annotated[list[Path], typer.Argument(help="Filled CSV sheets, Label Studio's JSON export, or folders.")],
    adjudicated: Annotated[
        list[Path] | None, typer.Option(help="Answers that decide where people disagree; may be given again.")
    ] = None,
    to: Annotated[Path | None, typer.Option(help="Folder for the sheets of what is in disagreement.")] = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    as_json: JsonOption = False,
) -> int:
    """Read what people answered: agreement, win rate, ratings, and what they disagree on."""
    from pipeline.control.human import import_answers
    from pipeline.report.human import human_sentences

    found = import_answers(writable_root(workspace), answers, adjudicated or [], to)
    made = found.evaluation
    if as_json:
        written = [str(path) for path in found.adjudication]
        print_json({**made.model_dump(mode="json"), "warnings": list(found.warnings), "adjudication": written})
        return 0
    err, out = messages(), console()
    for warning in found.warnings:
        err.print(f"  ! {warning}", markup=False, soft_wrap=True)
    out.print(f"{made.annotators} annotators, {made.items} items, {made.answers} answers of {made.name}", markup=False)
    for sentence in human_sentences(made):
        out.print(f"  {sentence}", markup=False, soft_wrap=True)
    for path in found.adjudication:
        out.print(f"to adjudicate: {path}", markup=False, soft_wrap=True)
    out.print("the report and the card of the version show it: hone report, hone export", markup=False)
    return 0
