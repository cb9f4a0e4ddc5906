"""`hone helm export` and `hone helm import`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from local_runner.cli.common import DEFAULT_WORKSPACE, JsonOption, WorkspaceOption, console, registry, writable_root
from pipeline.control.output import print_json

app = typer.Typer(name="helm", help="Let HELM measure a served version.", no_args_is_help=True, rich_markup_mode=None)


@app.command("export")
def export(
    version: Annotated[str, typer.Argument(help="name@champion, name@candidate, name@3, or name (its champion).")],
    to: Annotated[Path, typer.Option(help="A new folder for HELM's files.")],
    scenario: Annotated[
        list[str] | None, typer.Option(help="A run entry, as mmlu:subject=anatomy; may be given again.")
    ] = None,
    base_url: Annotated[str, typer.Option(help="Where the version is served.")] = "http://127.0.0.1:8000/v1",
    api_key_env: Annotated[
        str | None, typer.Option(help="Name of the variable with the endpoint's key, as HONE_API_KEY.")
    ] = None,
    max_sequence_length: Annotated[
        int | None, typer.Option(min=1, help="Tokens of prompt and answer; the version's own if left out.")
    ] = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    as_json: JsonOption = False,
) -> int:
    """Write what crfm-helm needs to run its scenarios against a version that is served."""
    from pipeline.control.helm import Endpoint, export_helm
    from pipeline.control.versions import open_version
    from pipeline.evaluate.helm.entries import DEFAULT_SCENARIOS

    root = writable_root(workspace)
    found = open_version(root, registry(root), version)
    endpoint = Endpoint(base_url, api_key_env, max_sequence_length)
    files = export_helm(found, to, scenario or DEFAULT_SCENARIOS, endpoint)
    if as_json:
        print_json({"version": str(found.version), "files": [str(path) for path in files]})
        return 0
    for path in files:
        console().print(str(path), markup=False, soft_wrap=True)
    return 0


@app.command("import")
def import_(
    folder: Annotated[Path, typer.Argument(help="A run folder of HELM, or a suite: benchmark_output/runs/SUITE.")],
    version: Annotated[str, typer.Option(help="The version that was measured.")],
    helm_version: Annotated[str | None, typer.Option(help="Of crfm-helm, which a run folder does not state.")] = None,
    model: Annotated[str | None, typer.Option(help="What HELM calls the version, if not as exported.")] = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    as_json: JsonOption = False,
) -> int:
    """Read what HELM measured; `hone show version` and the card then show it. All runs are kept, or none."""
    from pipeline.control.helm import import_helm
    from pipeline.control.versions import open_version
    from pipeline.report.helm import helm_lines

    root = writable_root(workspace)
    found = open_version(root, registry(root), version)
    runs = import_helm(found, folder, helm_version=helm_version, model=model)
    if as_json:
        print_json({"version": str(found.version), "runs": [run.model_dump(mode="json") for run in runs]})
        return 0
    for line in helm_lines(runs):
        console().print(line, markup=False, soft_wrap=True)
    return 0
