"""`hone report`, `hone show` and `hone export`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
from local_runner.cli.run import PlaceOption
from pipeline.control.output import print_json

if TYPE_CHECKING:
    from pipeline.report.show import Check

show = typer.Typer(help="Show a run, an artifact or a version; files are hashed again.", no_args_is_help=True)


class ReportFormat(StrEnum):
    """The forms of a report."""

    html = "html"
    markdown = "markdown"
    json = "json"


def report(
    name: Annotated[str | None, typer.Argument(help="A run's id or name; the newest if left out.")] = None,
    form: Annotated[ReportFormat, typer.Option("--format", help="Which form to name.")] = ReportFormat.html,
    out: Annotated[Path | None, typer.Option(help="Write the three forms into this folder.")] = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    as_json: JsonOption = False,
) -> int:
    """Write a run's report, as far as it has come, and print its path."""
    from pipeline.control.conclusion import run_registration
    from pipeline.control.runs import RunList
    from pipeline.control.session import version_of
    from pipeline.report.record import RunRecord
    from pipeline.report.write import write_report

    root = workspace_root(workspace)
    directory = RunList(root).find(name)
    known = run_registration(registry(root), directory, version_of(directory))
    files = write_report(RunRecord.load(root, directory.run), out or directory.path / "report", known)
    if as_json:
        print_json({"html": str(files.html), "markdown": str(files.markdown), "json": str(files.json)})
    else:
        path = {"html": files.html, "markdown": files.markdown, "json": files.json}[form.value]
        console().print(str(path), markup=False, soft_wrap=True)
    return 0


@show.command("run")
def show_run(
    name: Annotated[str | None, typer.Argument(help="A run's id or name; the newest if left out.")] = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    as_json: JsonOption = False,
) -> int:
    """Show a run: its calls, its scores and its verdict."""
    from pipeline.control.conclusion import run_registration
    from pipeline.control.runs import RunList
    from pipeline.control.session import version_of
    from pipeline.report.record import RunRecord
    from pipeline.report.show import show_run as view_run
    from pipeline.report.summary import plain_text, summarize

    root = workspace_root(workspace)
    directory = RunList(root).find(name)
    record = RunRecord.load(root, directory.run)
    known = run_registration(registry(root), directory, version_of(directory))
    if as_json:
        print_json(view_run(record, known))
        return 0
    view = view_run(record, known)
    for call in view.calls:
        console().print(f"{call.id:40} {call.status:12} {call.ref or ''}", markup=False, soft_wrap=True)
    console().print("\n" + plain_text(summarize(record, known)), markup=False, soft_wrap=True, end="")
    return 0


@show.command("artifact")
def show_artifact(
    text: Annotated[str, typer.Argument(help="stage/fingerprint; the first digits are enough.")],
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    as_json: JsonOption = False,
) -> int:
    """Show an artifact: its manifest and the config that made it."""
    from pipeline.core.workspace import Store
    from pipeline.report.show import find_artifact
    from pipeline.report.show import show_artifact as view_artifact

    store = Store(workspace_root(workspace))
    view = view_artifact(store, find_artifact(store, text))
    if as_json:
        print_json(view)
    else:
        manifest = view.manifest
        out = console()
        out.print(f"{view.check.ref}: {manifest.environment}, code {manifest.code_version}", soft_wrap=True)
        out.print(f"content {manifest.content_digest}", soft_wrap=True)
        for file in manifest.files:
            out.print(f"  {file.sha256[:12]} {file.size:>12,}  {file.path}", markup=False, soft_wrap=True)
    return _checked([view.check])


@show.command("version")
def show_version(
    version: Annotated[str, typer.Argument(help="name@champion, name@candidate, name@3, or name (its champion).")],
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    as_json: JsonOption = False,
) -> int:
    """Show a version: its decision, its variants and its lineage, every file hashed again."""
    from pipeline.core.registry import resolve
    from pipeline.core.workspace import Store
    from pipeline.report import bias
    from pipeline.report.conditions import outcome
    from pipeline.report.helm import TITLE, helm_lines
    from pipeline.report.show import show_version as view_version
    from pipeline.report.types import Registration

    root = workspace_root(workspace)
    found = resolve(registry(root), version)
    view = view_version(Store(root), found.ref, Registration.of(found))
    if as_json:
        print_json(view)
        return _checked(list(view.checks))
    out = console()
    aliases = f" ({', '.join(found.aliases)})" if found.aliases else ""
    out.print(f"{found}{aliases}: {view.version.decision.verdict}", markup=False, soft_wrap=True)
    for condition in view.version.decision.all_conditions:
        mark = {"met": "✓", "not met": "✗", "missed": "·", "waived": "–"}[outcome(condition)]
        out.print(f"  {mark} {condition.text}", markup=False, soft_wrap=True)
    if found.overrides:
        out.print(f"promoted all the same: {found.overrides[-1].reason}", markup=False, soft_wrap=True)
    out.print(f"variants: {', '.join(view.variants)}", markup=False, soft_wrap=True)
    if view.version.bias:
        out.print(f"{bias.TITLE}:")
        for line in bias.bias_lines(view.version.bias):
            out.print(f"  {line}", markup=False, soft_wrap=True)
    if view.helm:
        out.print(f"{TITLE}:")
        for line in helm_lines(view.helm):
            out.print(f"  {line}", markup=False, soft_wrap=True)
    for check in view.checks:
        state = f"{check.files} files whole" if check.problem is None else check.problem
        out.print(f"  {check.role:36} {check.ref}  {state}", markup=False, soft_wrap=True)
    return _checked(list(view.checks))


def _checked(checks: list[Check]) -> int:
    """Return 0, or the code of damaged storage where a file is not as its manifest states."""
    from schemas.errors import ExitCode

    damaged = [check for check in checks if check.problem is not None]
    for check in damaged:
        messages().print(f"damaged: {check.problem}", markup=False, style="red", soft_wrap=True)
    return int(ExitCode.STORAGE if damaged else ExitCode.OK)


def export(
    version: Annotated[str, typer.Argument(help="name@champion, name@candidate, name@3, or name (its champion).")],
    to: Annotated[str, typer.Option(help="A folder, or hf://organization/name.")],
    variant: Annotated[
        str | None, typer.Option(help="adapter, model, merged, w4a16 ...; what is served if left out.")
    ] = None,
    public: Annotated[
        bool, typer.Option("--public", help="Make the Hub repository public; private otherwise.")
    ] = False,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    place: Annotated[
        PlaceOption,
        typer.Option("--on", help="With modal, a container pushes a version of the app's Volume to the Hub."),
    ] = PlaceOption.here,
    as_json: JsonOption = False,
) -> int:
    """Export a version as plain Hugging Face files with a card, a compose file and a smoke request."""
    if place is PlaceOption.modal:
        return _export_on_modal(version, to, variant, public, as_json)
    from pipeline.control.display import Display
    from pipeline.core.context import CallContext
    from pipeline.core.registry import resolve
    from pipeline.core.secrets import visible_secrets
    from pipeline.core.workspace import Store
    from pipeline.report.export import export_version
    from pipeline.report.types import Registration
    from pipeline.report.version import VersionRecord

    root = workspace_root(workspace)
    found = resolve(registry(root), version)
    record = VersionRecord.load(Store(root), found.ref)
    with Display(messages(), quiet=as_json) as display:
        exported = export_version(
            record,
            variant or found.served_variant,
            to,
            registration=Registration.of(found),
            private=not public,
            context=CallContext(call_id="export", sink=display, secrets=visible_secrets()),
        )
    if as_json:
        print_json(
            {
                "version": str(found),
                "variant": exported.variant,
                "location": exported.location,
                "files": exported.files,
                "size_bytes": exported.size_bytes,
            }
        )
    else:
        console().print(f"{found} ({exported.variant}) is in {exported.location}", markup=False, soft_wrap=True)
    return 0


def _export_on_modal(version: str, to: str, variant: str | None, public: bool, as_json: bool) -> int:
    from local_runner.on_modal import ModalExport, run_on_modal
    from pipeline.report.export import hub_repository

    hub_repository(to)
    return run_on_modal(ModalExport(version, to, variant, public, as_json))
