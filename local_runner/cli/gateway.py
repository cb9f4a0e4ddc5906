"""`hone gateway`: a thin process between clients and engines."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from local_runner.cli.common import DEFAULT_WORKSPACE, JsonOption, WorkspaceOption, console, writable_root
from local_runner.cli.service import DatabaseOption, RateOption
from local_runner.variables import SERVICE_KEY
from pipeline.control.output import print_json


def gateway(
    config: Annotated[Path, typer.Argument(help="A YAML file: engines, versions, models (docs/gateway.md).")],
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port to listen on; 0 takes a free one.")] = 8090,
    requests_per_minute: RateOption = None,
    notify: Annotated[
        list[str] | None, typer.Option(help="Send signed webhooks of rollouts there; may be given several times.")
    ] = None,
    database: DatabaseOption = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    as_json: JsonOption = False,
) -> int:
    """Pass OpenAI's chat requests to engines, split traffic between champion and candidate, and promote or roll back.

    Requests need a key of `hone key create`, or the one in HONE_SERVICE_KEY. What is decided, and which version gave
    which answer, is kept in the database; a rollout goes on at the next start. What --notify sends is signed with
    HONE_NOTIFY_SECRET.
    """
    from local_runner.gateway import GatewayOptions, read_gateway_config, serve
    from local_runner.notify import read_notify

    declared = read_gateway_config(config)
    options = GatewayOptions(
        root=writable_root(workspace),
        host=host,
        port=port,
        database=database,
        operator_key=os.environ.get(SERVICE_KEY) or None,
        requests_per_minute=requests_per_minute,
        notify=read_notify(notify or ()),
    )

    def announce(text: str) -> None:
        if as_json:
            print_json({"base_url": text.rpartition(" ")[2]})
        else:
            console().print(text, markup=False, soft_wrap=True)

    return serve(declared, options, announce)
