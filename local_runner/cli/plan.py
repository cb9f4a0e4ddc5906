"""`hone plan`: what a run would do, take and show, before anything is spent."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from local_runner.cli.common import DEFAULT_WORKSPACE, JsonOption, WorkspaceOption, console, messages, print_json
from local_runner.cli.run import SetOption, interruptible, open_session

if TYPE_CHECKING:
    from rich.console import Console

    from schemas.plan import HardwareOption, PlanArtifact

_SHOWN_HARDWARE = 6


def plan(
    spec: Annotated[Path | None, typer.Argument(help="The run description, a YAML file.")] = None,
    acp: Annotated[Path | None, typer.Option("--acp", help="Answer this FINETUNE_MODEL message instead.")] = None,
    overrides: SetOption = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    as_json: JsonOption = False,
) -> int:
    """Plan a run: method, hardware, hours, dollars, and the gain that the test split could show.

    A plan that no GPU keeps within the constraints ends with the exit code of a used-up budget; a message is always
    answered, and says whether it is feasible.
    """
    from pipeline.core.errors import ConfigError

    if (spec is None) == (acp is None):
        raise ConfigError("give a run description, or a message with --acp", where="hone plan", fix="hone plan --help")
    if acp is not None:
        from local_runner.acp import answer_file

        print_json(answer_file(acp, overrides or []))
        return 0
    assert spec is not None
    return _plan_spec(spec, overrides or [], workspace, as_json)


def _plan_spec(spec: Path, overrides: list[str], workspace: Path, as_json: bool) -> int:
    from pipeline.control.display import Display
    from pipeline.execute import load
    from schemas.errors import ExitCode

    session, out = open_session(workspace, writes=True), messages()
    run = session.resolve(spec, overrides, for_plan=True)
    with interruptible(out) as cancelled, Display(out, quiet=as_json) as display:
        made = load(session.store, session.try_out(run, "plan", display, cancelled)["plan"])
    if as_json:
        print_json(made.artifact)
    else:
        _show(made.artifact, console())
    return int(ExitCode.OK if made.artifact.feasible else ExitCode.BUDGET)


def _show(plan: PlanArtifact, out: Console) -> None:
    from rich.markup import escape
    from rich.table import Table

    out.print(
        f"{plan.parameters:,} parameters, {plan.trainable_parameters:,} trained; {plan.steps:,} steps, "
        f"{plan.training_tokens:,} tokens",
        soft_wrap=True,
    )
    decisions = Table(title="decisions", title_justify="left", box=None, pad_edge=False)
    for column in ("key", "value", "chosen by", "reason"):
        decisions.add_column(column)
    for key, reasoned in plan.reasons.items():
        decisions.add_row(key, escape(str(reasoned.value)), reasoned.chosen_by, escape(reasoned.reason))
    out.print(decisions)
    hardware = Table(title=f"hardware, prices of {plan.prices_dated}", title_justify="left", box=None, pad_edge=False)
    for column in ("GPU", "fits", "hours", "dollars"):
        hardware.add_column(column, justify="left" if column == "GPU" else "right")
    for option in _best_first(plan)[:_SHOWN_HARDWARE]:
        mark = " ←" if option.gpu == plan.recommended_gpu else ""
        fits = "yes" if option.fits else "no"
        hardware.add_row(
            f"{option.count}x {option.gpu}{mark}", fits, f"{option.seconds / 3600:.3f}", f"{option.dollars:.4f}"
        )
    out.print(hardware)
    out.print(
        f"on this machine about {plan.local_cpu_seconds:.0f} CPU-seconds and "
        f"{plan.local_memory_bytes / 2**30:.2f} GiB; tensors of training on a GPU {plan.memory.total / 2**30:.2f} GiB",
        soft_wrap=True,
    )
    power = plan.power
    detectable = power.minimum_detectable_gain
    shown = "no gain at all" if detectable is None else f"a gain of {100 * detectable:.1f} points"
    out.print(
        f"{power.test_rows} test rows show {shown} with {power.power:.0%} power at level {power.alpha:g}",
        soft_wrap=True,
    )
    for warning in plan.warnings:
        out.print(f"[yellow]![/] {escape(warning)}", soft_wrap=True)


def _best_first(plan: PlanArtifact) -> list[HardwareOption]:
    """Return the GPU types: the recommended one, then those that fit by cost, then the rest."""
    return sorted(
        plan.hardware, key=lambda option: (option.gpu != plan.recommended_gpu, not option.fits, option.dollars)
    )
