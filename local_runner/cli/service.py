"""`hone service`: the HTTP API, and `hone key`: who may use it."""

from __future__ import annotations

import os
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from local_runner.cli.common import DEFAULT_WORKSPACE, JsonOption, WorkspaceOption, console, writable_root
from pipeline.control.output import print_json

if TYPE_CHECKING:
    from schemas.serve import Engine

DatabaseOption = Annotated[
    str | None,
    typer.Option(envvar="HONE_SERVICE_DATABASE", help="SQLAlchemy address; SQLite in the workspace if left out."),
]

app = typer.Typer(help="API keys of the service.", no_args_is_help=True)


class ScopeOption(StrEnum):
    """What a key may do, as options name it."""

    infer = "infer"
    train = "train"
    admin = "admin"


class EngineOption(StrEnum):
    """Which engine answers."""

    auto = "auto"
    vllm = "vllm"
    transformers = "transformers"


_ENGINES: dict[EngineOption, Engine | None] = {
    EngineOption.auto: None,
    EngineOption.vllm: "vllm",
    EngineOption.transformers: "transformers",
}


def service(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port to listen on; 0 takes a free one.")] = 8080,
    database: DatabaseOption = None,
    organization: Annotated[str, typer.Option(help="Stands in the names of tuned models.")] = "hone",
    max_upload_mb: Annotated[int, typer.Option(min=1, max=100_000, help="The most that a file may have, MiB.")] = 512,
    jobs: Annotated[int, typer.Option(min=1, max=64, help="How many jobs are carried out at once.")] = 1,
    engine: Annotated[
        EngineOption, typer.Option(help="What answers chat: each version's own engine, or one for all.")
    ] = EngineOption.auto,
    engines: Annotated[int, typer.Option(min=1, max=64, help="How many engines run at once.")] = 1,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    as_json: JsonOption = False,
) -> int:
    """Answer OpenAI's files, fine-tuning and chat requests; jobs are runs in the workspace.

    Requests need a key of `hone key create`, or the one in HONE_SERVICE_KEY. SIGTERM saves what jobs have; they go on
    at the next start.
    """
    from local_runner.service import KEY_VARIABLE, ServiceOptions, serve

    options = ServiceOptions(
        root=writable_root(workspace),
        host=host,
        port=port,
        database=database,
        organization=organization,
        max_file_bytes=max_upload_mb << 20,
        workers=jobs,
        engine=_ENGINES[engine],
        engines=engines,
        operator_key=os.environ.get(KEY_VARIABLE) or None,
    )

    def announce(text: str) -> None:
        if as_json:
            print_json({"base_url": text.rpartition(" ")[2]})
        else:
            console().print(text, markup=False, soft_wrap=True)

    return serve(options, announce)


@app.command("create")
def create(
    name: Annotated[str, typer.Argument(help="What the key is for.")],
    scope: Annotated[
        list[ScopeOption] | None, typer.Option(help="infer, train or admin; infer and train if left out.")
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
    key, text = create_key(records.keys, name, [option.value for option in scopes])
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
