"""The table of commands."""

from __future__ import annotations

from typing import Annotated

import typer

from local_runner.cli import (
    ablate,
    data,
    environments,
    gateway,
    harness,
    helm,
    human,
    init,
    judge,
    key,
    monitor,
    plan,
    predict,
    report,
    run,
    serve,
    service,
    upkeep,
    versions,
    webhooks,
)

app = typer.Typer(
    name="hone",
    help="From a task, data, a base model, a target and a budget to a served model that is measurably better.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        from pipeline.core.version import CODE_VERSION

        typer.echo(f"hone {CODE_VERSION}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """From a task, data, a base model, a target and a budget to a served model that is measurably better."""


app.command()(init.init)
app.add_typer(data.app, name="data")
app.command()(plan.plan)
app.command()(run.run)
app.command()(run.demo)
app.command()(ablate.ablate)
app.command()(judge.judge)
app.command()(harness.harness)
app.add_typer(human.app, name="human")
app.add_typer(helm.app, name="helm")
app.command()(run.status)
app.command()(predict.predict)
app.command()(predict.chat)
app.command()(serve.serve)
app.command()(service.service)
app.command()(gateway.gateway)
app.command()(monitor.monitor)
app.add_typer(key.app, name="key")
app.add_typer(webhooks.app, name="webhooks")
app.command()(versions.promote)
app.command()(versions.rollback)
app.add_typer(environments.app, name="env")
app.command()(upkeep.gc)
app.command()(upkeep.doctor)
app.command()(report.report)
app.add_typer(report.show, name="show")
app.command()(report.export)
