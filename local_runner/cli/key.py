"""`hone key`: who may use the service."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from local_runner.cli.common import DEFAULT_WORKSPACE, JsonOption, WorkspaceOption, console, writable_root
from local_runner.cli.service import DatabaseOption
from pipeline.control.output import print_json

app = typer.Typer(help="API keys of the service.", no_args_is_help=True)


class ScopeOption(StrEnum):
    """What a key may do, as options name it."""

    infer = "infer"
    train = "train"
    admin = "admin"


@app.command("create")
def create(
    name: Annotated[str, typer.Argument(help="What the key is for.")],
    scope: Annotated[
        list[ScopeOption] | None, typer.Option(help="infer, train or admin; infer and train if left out.")
    ] = None,
    requests_per_minute: Annotated[
        int | None, typer.Option(min=1, help="How often it may ask; what the service gives every key if left out.")
    ] = None,
    database: DatabaseOption = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    as_json: JsonOption = False,
) -> int:
    """Make a key and print it; it cannot be shown again."""
    from local_runner.service import open_records
    from pipeline.service.api.keys import create_key

    records = open_records(writable_root(workspace), database)
    scopes = scope or [ScopeOption.infer, ScopeOption.train]
    key, text = create_key(records.keys, name, [option.value for option in scopes], requests_per_minute)
    if as_json:
        print_json({"id": key.id, "name": key.name, "scopes": list(key.scopes), "key": text})
    else:
        console().print(text, markup=False, soft_wrap=True)
    records.close()
    return 0


@app.command("list")
def list_(
    database: DatabaseOption = None, workspace: WorkspaceOption = DEFAULT_WORKSPACE, as_json: JsonOption = False
) -> int:
    """List keys, without what is secret of them."""
    from datetime import UTC, datetime

    from local_runner.service import open_records

    records = open_records(writable_root(workspace), database)
    found = records.keys.all()
    records.close()
    if as_json:
        shown = [
            {
                "id": key.id,
                "name": key.name,
                "scopes": list(key.scopes),
                "requests_per_minute": key.requests_per_minute,
                "created_at": key.created_at,
                "revoked_at": key.revoked_at,
            }
            for key in found
        ]
        print_json({"keys": shown})
        return 0
    for key in found:
        made = datetime.fromtimestamp(key.created_at, UTC).date().isoformat()
        state = "revoked" if key.revoked_at is not None else ", ".join(key.scopes)
        console().print(f"{key.id}  {made}  {state:20} {key.name}", markup=False, soft_wrap=True)
    return 0


@app.command("revoke")
def revoke(
    key: Annotated[str, typer.Argument(help="The key's id, as `hone key list` shows it.")],
    database: DatabaseOption = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    as_json: JsonOption = False,
) -> int:
    """Take a key's rights away, at once."""
    from local_runner.service import open_records
    from pipeline.core.errors import ConfigError

    records = open_records(writable_root(workspace), database)
    known = records.keys.revoke(key)
    records.close()
    if not known:
        raise ConfigError("there is no such key", where=key, fix="see hone key list")
    if as_json:
        print_json({"id": key, "revoked": True})
    else:
        console().print(f"{key} is revoked", markup=False, soft_wrap=True)
    return 0
