"""`hone serve`: bring a version up in the foreground behind an OpenAI-compatible endpoint."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from local_runner.cli.common import (
    DEFAULT_WORKSPACE,
    JsonOption,
    WorkspaceOption,
    console,
    messages,
    registry,
    workspace_root,
)
from pipeline.control.output import print_json

KEY_VARIABLE = "HONE_API_KEY"


def serve(
    version: Annotated[str, typer.Argument(help="name@champion, name@candidate, name@3, or name (its champion).")],
    variant: Annotated[str | None, typer.Option(help="adapter, model, merged ...; as tried if left out.")] = None,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="The port to listen on.")] = 8000,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    as_json: JsonOption = False,
) -> int:
    """Serve a version with vLLM, or with transformers where vLLM is not installed.

    Requests need the key in HONE_API_KEY, if it is set. SIGTERM finishes the requests in flight.
    """
    from local_runner.serving import plan_serving, serve_forever
    from pipeline.control.versions import open_version
    from pipeline.core.temporary import private_folder

    root = workspace_root(workspace)
    found = open_version(root, registry(root), version)
    with private_folder("serving") as folder:
        serving = plan_serving(found, folder, variant)
        launch = serving.launch
        if as_json:
            described = {"version": str(found.version), "engine": launch.engine, "host": host, "port": port}
            print_json({**described, "model": launch.served_model_name, "note": serving.note})
        else:
            messages().print(f"serving {found.version}", markup=False)

        def announce(text: str) -> None:
            if not as_json:
                console().print(text, markup=False, soft_wrap=True)

        return serve_forever(serving, host=host, port=port, api_key=os.environ.get(KEY_VARIABLE), announce=announce)
