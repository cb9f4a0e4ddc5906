"""Verbs of `modal run -m modal_app.main` about registered versions: which one is served, and pushing one to the Hub."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from modal_app.exporting import ExportOrder, Pushed, check_target, push_version
from modal_app.serving.alias import Moved, MoveOrder, move_champion
from pipeline.control.output import print_json
from pipeline.core.errors import from_record

Reason = Annotated[str | None, typer.Option(help="Why a refused version is promoted; stays on its card.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]


def promote(
    version: Annotated[str, typer.Option("--version", help="name@candidate or name@3.")],
    reason: Reason = None,
    as_json: Json = False,
) -> int:
    """Make a version the champion, which the endpoint then serves."""
    return _move(MoveOrder(reference=version, reason=reason), as_json)


def rollback(
    name: Annotated[str, typer.Option("--name", help="The registered name.")],
    to: Annotated[
        int | None, typer.Option(help="The version to go back to; the champion before this one if left out.")
    ] = None,
    reason: Reason = None,
    as_json: Json = False,
) -> int:
    """Make an earlier champion the champion again, which the endpoint then serves."""
    return _move(MoveOrder(roll_back=name, to=to, reason=reason), as_json)


def export(
    version: Annotated[str, typer.Option("--version", help="name@champion, name@3, or name (its champion).")],
    to: Annotated[str, typer.Option("--to", help="hf://organization/name")],
    variant: Annotated[
        str | None, typer.Option(help="adapter, model, merged, w4a16 ...; what is served if left out.")
    ] = None,
    public: Annotated[bool, typer.Option("--public", help="Make the repository public; private otherwise.")] = False,
    as_json: Json = False,
) -> int:
    """Push a version to the Hub from a container: plain files with a card, a compose file and a smoke request."""
    check_target(to)
    order = ExportOrder(version=version, variant=variant, to=to, private=not public)
    pushed = Pushed.model_validate_json(push_version.remote(order.model_dump_json()))
    if pushed.error is not None:
        raise from_record(pushed.error)
    if as_json:
        print_json(pushed.model_dump(mode="json", exclude={"error"}))
    else:
        console = Console(highlight=False, soft_wrap=True)
        console.print(f"{pushed.version} ({pushed.variant}) is in {pushed.location}", markup=False)
    return 0


def _move(order: MoveOrder, as_json: bool) -> int:
    moved = Moved.model_validate_json(move_champion.remote(order.model_dump_json()))
    if moved.error is not None:
        raise from_record(moved.error)
    if as_json:
        print_json({"name": moved.name, "champion": moved.after, "before": moved.before})
    else:
        before = f" (was {moved.before})" if moved.before is not None else ""
        console = Console(highlight=False, soft_wrap=True)
        console.print(f"{moved.name}: version {moved.after} is champion{before}", markup=False)
    return 0
