"""`hone service`: the HTTP API."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from local_runner.cli.common import DEFAULT_WORKSPACE, JsonOption, WorkspaceOption, console, writable_root
from local_runner.variables import SERVICE_DATABASE, SERVICE_KEY, WEBHOOK_SECRET
from pipeline.control.output import print_json

if TYPE_CHECKING:
    from schemas.serve import Engine

DatabaseOption = Annotated[
    str | None,
    typer.Option(envvar=SERVICE_DATABASE, help="SQLAlchemy address; SQLite in the workspace if left out."),
]


RateOption = Annotated[
    int | None,
    typer.Option(min=1, help="How often a key may ask that has no limit of its own; as often as it likes if left out."),
]


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
    requests_per_minute: RateOption = None,
    retraining: Annotated[
        Path | None,
        typer.Option(help="A YAML file: what retrainings that webhooks order may take (docs/webhook.md)."),
    ] = None,
    notify: Annotated[
        list[str] | None, typer.Option(help="Send signed webhooks of ended jobs there; may be given several times.")
    ] = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    as_json: JsonOption = False,
) -> int:
    """Answer OpenAI's files, fine-tuning and chat requests; jobs are runs in the workspace.

    Requests need a key of `hone key create`, or the one in HONE_SERVICE_KEY. With HONE_WEBHOOK_SECRET, signed
    deliveries retrain versions (docs/webhook.md). What --notify sends is signed with HONE_NOTIFY_SECRET. SIGTERM saves
    what jobs have; they go on at the next start.
    """
    from local_runner.notify import read_notify
    from local_runner.retraining import read_retrain_policy
    from local_runner.service import ServiceOptions, serve

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
        operator_key=os.environ.get(SERVICE_KEY) or None,
        webhook_secret=os.environ.get(WEBHOOK_SECRET) or None,
        requests_per_minute=requests_per_minute,
        retraining=read_retrain_policy(retraining),
        notify=read_notify(notify or ()),
    )

    def announce(text: str) -> None:
        if as_json:
            print_json({"base_url": text.rpartition(" ")[2]})
        else:
            console().print(text, markup=False, soft_wrap=True)

    return serve(options, announce)
