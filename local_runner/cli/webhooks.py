"""`hone webhooks`: what was sent to whom, and sending again what nobody took."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from local_runner.cli.common import DEFAULT_WORKSPACE, JsonOption, WorkspaceOption, console, writable_root
from local_runner.cli.service import DatabaseOption
from pipeline.control.output import print_json
from pipeline.core.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.service.store.outbox import Outbox
    from schemas.outgoing import OutgoingDelivery

app = typer.Typer(help="Webhooks that the service and the gateway send.", no_args_is_help=True)

_SEE = "see hone webhooks list"


class StateOption(StrEnum):
    """How a delivery stands."""

    pending = "pending"
    delivered = "delivered"
    dead = "dead"


@app.command("list")
def list_(
    state: Annotated[StateOption | None, typer.Option(help="Those that stand so; all if left out.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="The newest so many.")] = 50,
    database: DatabaseOption = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    as_json: JsonOption = False,
) -> int:
    """List deliveries, the newest first: what was told to whom, how often it was tried, and what came back."""
    with _outbox(workspace, database) as outbox:
        found, more = outbox.page(limit=limit, state=None if state is None else state.value)
    if as_json:
        print_json({"deliveries": [delivery.model_dump(mode="json") for delivery in found], "has_more": more})
        return 0
    for delivery in found:
        console().print(_line(delivery), markup=False, soft_wrap=True)
    if more:
        console().print("older ones are left out: --limit", markup=False)
    return 0


@app.command("show")
def show(
    delivery: Annotated[str, typer.Argument(help="The delivery's id, as `hone webhooks list` shows it.")],
    database: DatabaseOption = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    as_json: JsonOption = False,
) -> int:
    """Show a delivery with its body."""
    with _outbox(workspace, database) as outbox:
        found = outbox.get(delivery)
    if found is None:
        raise ConfigError("there is no such delivery", where=delivery, fix=_SEE)
    if as_json:
        print_json(found.model_dump(mode="json"))
        return 0
    lines = [_line(found)]
    if found.next_at is not None:
        lines.append(f"next attempt: {_time(found.next_at)}")
    for line in (*lines, found.body.model_dump_json(indent=2)):
        console().print(line, markup=False, soft_wrap=True)
    return 0


@app.command("resend")
def resend(
    deliveries: Annotated[list[str] | None, typer.Argument(help="Ids of dead deliveries.")] = None,
    all_dead: Annotated[bool, typer.Option("--all", help="Every dead delivery.")] = False,
    database: DatabaseOption = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    as_json: JsonOption = False,
) -> int:
    """Have dead deliveries sent again, under their ids, by the service or gateway that is up or comes up next."""
    if bool(deliveries) == all_dead:
        raise ConfigError("name the deliveries, or all of them", where="hone webhooks resend", fix="ID... or --all")
    with _outbox(workspace, database) as outbox:
        for name in deliveries or ():
            found = outbox.get(name)
            if found is None or found.state != "dead":
                said = "there is no such delivery" if found is None else f"it is {found.state}, not dead"
                raise ConfigError(said, where=name, fix="see hone webhooks list --state dead")
        revived = outbox.revive(deliveries)
    if as_json:
        print_json({"resent": revived})
    else:
        console().print(f"{len(revived)} to be sent again", markup=False)
    return 0


@contextmanager
def _outbox(workspace: Path, database: str | None) -> Iterator[Outbox]:
    from local_runner.service import open_records

    records = open_records(writable_root(workspace), database)
    try:
        yield records.outbox
    finally:
        records.close()


def _line(delivery: OutgoingDelivery) -> str:
    tries = "1 attempt" if delivery.attempts == 1 else f"{delivery.attempts} attempts"
    last = f"; last {delivery.problem}" if delivery.problem and delivery.state != "delivered" else ""
    when = _time(delivery.created_at)
    return f"{delivery.id}  {when}  {delivery.state:9}  {delivery.type:25}  {delivery.url}  {tries}{last}"


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
