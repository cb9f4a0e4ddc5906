"""`hone monitor`: has what is asked and answered changed?"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from local_runner.cli.common import DEFAULT_WORKSPACE, JsonOption, WorkspaceOption, console, registry, writable_root
from local_runner.cli.service import DatabaseOption
from pipeline.control.output import print_json
from schemas.errors import ExitCode
from schemas.monitor import DetectorName, MonitorConfig

if TYPE_CHECKING:
    from schemas.monitor import DriftReport

_DEFAULT = MonitorConfig()


class ReferenceOption(StrEnum):
    """What the newest answers are compared with."""

    first = "first"
    test = "test"


def monitor(
    version: Annotated[str, typer.Argument(help="name@champion, name@candidate, name@3, or name (its champion).")],
    reference: Annotated[
        ReferenceOption, typer.Option(help="Compare with the first captured answers, or with the evaluated test rows.")
    ] = ReferenceOption.first,
    window: Annotated[int, typer.Option(min=20, max=2000, help="How many of the newest answers.")] = _DEFAULT.window,
    reference_rows: Annotated[
        int, typer.Option(min=20, max=2000, help="How many rows they are compared with.")
    ] = _DEFAULT.reference_rows,
    alpha: Annotated[
        float, typer.Option(min=0.005, max=0.05, help="The most that unchanged windows give an alarm.")
    ] = _DEFAULT.alpha,
    detector: Annotated[
        list[str] | None, typer.Option(help="A detector of docs/monitoring.md; may be given again. All if left out.")
    ] = None,
    history: Annotated[int, typer.Option(min=0, max=50, help="How many earlier windows the report shows.")] = 8,
    embedder: Annotated[
        Path | None, typer.Option(help="Folder of a model that embeds texts; hashed n-grams if left out.")
    ] = None,
    notify: Annotated[
        str | None, typer.Option(help="Send an alarm there, signed with the secret in HONE_WEBHOOK_SECRET.")
    ] = None,
    retrain: Annotated[
        str | None, typer.Option(help="Have that webhook retrain the version on the answers that people corrected.")
    ] = None,
    hold_out: Annotated[
        float, typer.Option(min=0.0, max=0.5, help="Share of the new rows on which the gate tests.")
    ] = 0.25,
    minimum_rows: Annotated[
        int, typer.Option(min=2, help="Corrected or accepted answers without which nothing is retrained.")
    ] = 50,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Draws permutations and splits.")] = 0,
    database: DatabaseOption = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    as_json: JsonOption = False,
) -> int:
    """Compare what a version was asked and answered with what it was before; write a report with plots.

    The gateway captures answers (docs/gateway.md). An alarm has an exit code of its own.
    """
    from local_runner.alarms import Alarms, check_secret
    from local_runner.monitoring import refresh
    from pipeline.control.monitoring import watch
    from pipeline.monitor.backends import load_embedder

    config = MonitorConfig(
        alpha=alpha,
        window=window,
        reference_rows=reference_rows,
        detectors=_detectors(detector),
        seed=seed,
    )
    root = writable_root(workspace)
    check_secret(notify, retrain)
    refresh(root, database)
    found = watch(
        root,
        lambda: registry(root),
        version,
        config,
        kind=reference.value,
        history=history,
        embedder=None if embedder is None else load_embedder(embedder),
    )
    alarms = Alarms(root, notify=notify, retrain=retrain, hold_out=hold_out, minimum_rows=minimum_rows)
    sent = alarms.send(found) if found.report.alarm else ()
    if as_json:
        answers = [{"to": one.url, "answer": one.answer, "note": one.note} for one in sent]
        print_json(
            {**found.report.model_dump(mode="json"), "html": str(found.html), "json": str(found.json), "sent": answers}
        )
    else:
        _show(found.report)
        for one in sent:
            console().print(f"{one.url}: {one.note}", markup=False, soft_wrap=True)
        console().print(str(found.html), markup=False, soft_wrap=True)
    return int(ExitCode.DRIFT if found.report.alarm else ExitCode.OK)


def _detectors(names: list[str] | None) -> tuple[DetectorName, ...] | None:
    """Return the detectors of those names.

    Raises:
        ConfigError: there is none of a name; the nearest is told.
    """
    if not names:
        return None
    from difflib import get_close_matches

    from pipeline.core.errors import ConfigError
    from pipeline.monitor.registry import DETECTORS

    found: list[DetectorName] = []
    for name in dict.fromkeys(names):
        known = next((each for each in DETECTORS if each == name), None)
        if known is None:
            near = get_close_matches(name, DETECTORS, n=1)
            fix = f"did you mean {near[0]}?" if near else f"name one of {', '.join(DETECTORS)}"
            raise ConfigError(f"there is no detector {name!r}", where="--detector", fix=fix)
        found.append(known)
    return tuple(found)


def _show(report: DriftReport) -> None:
    from rich.table import Table

    from pipeline.report.drift import overview_table, summary_text, window_text

    console().print(f"{report.version}: {window_text(report.current)}", markup=False, soft_wrap=True)
    laid_out = overview_table(report)
    table = Table(box=None, pad_edge=False)
    for column in laid_out.columns:
        table.add_column(
            column, justify="right" if column in laid_out.numeric else "left", no_wrap=column == "detector"
        )
    for row in laid_out.rows:
        table.add_row(*row)
    console().print(table)
    for skip in report.skipped:
        console().print(f"left out: {skip.detector}: {skip.reason}", markup=False, soft_wrap=True)
    console().print(summary_text(report), markup=False, soft_wrap=True)
