"""A plan as people read it."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from schemas.plan import HardwareOption, PlanArtifact

_SHOWN_HARDWARE = 6


def show_plan(plan: PlanArtifact, out: Console) -> None:
    """Print decisions, hardware, and what the test split could show."""
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
