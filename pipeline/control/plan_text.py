"""A plan as people read it."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pipeline.control.places import Places, places_of
from schemas.base import Device
from schemas.placement import Placement
from schemas.plan import HardwareOption, PlanArtifact, PowerEstimate
from schemas.run import RunSpec

_SHOWN_HARDWARE = 6


def show_plan(plan: PlanArtifact, spec: RunSpec, out: Console, device: Device = "cuda") -> None:
    """Print decisions, hardware, where the stages would run on Modal, and what the test split could show.

    ``device`` is what Modal's containers are offered.
    """
    places = places_of(plan, spec, device)
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
    if places.stages:
        out.print(_places(places))
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
    for line in _gate(power):
        out.print(line, soft_wrap=True)
    for warning in (*plan.warnings, *places.doubts):
        out.print(f"[yellow]![/] {escape(warning)}", soft_wrap=True)


def _gate(power: PowerEstimate) -> Iterator[str]:
    """Yield what the simulated gate makes of the test rows."""
    gate = power.gate
    if gate is None:
        return
    if gate.least_score is None:
        yield f"the whole gate promotes no model with {power.power:.0%} power on so few rows"
    else:
        beside = (
            f"; one whose true score is just the target, in {gate.promoted:.0%}" if gate.promoted is not None else ""
        )
        yield (
            f"the whole gate, simulated {gate.trials:,} times over a baseline of {power.assumed_baseline:.1%}, "
            f"promotes a model whose true score is {gate.least_score:.1%} in {power.power:.0%} of runs{beside}"
        )
    if gate.rows_for_gain is not None:
        yield (
            f"the gain to the target needs about {gate.rows_for_gain:,} test rows; a target that is just met is missed "
            "in half of all runs, whatever their number"
        )


def _places(places: Places) -> Table:
    table = Table(title="on Modal, where each stage takes most", title_justify="left", box=None, pad_edge=False)
    for column in ("stage", "GPU", "cores", "GiB", "timeout in hours", "dollars an hour"):
        table.add_column(column, justify="left" if column in ("stage", "GPU") else "right")
    for stage, place in places.stages.items():
        amounts = (f"{place.cpu:g}", f"{place.memory / 1024:g}", f"{place.timeout / 3600:g}")
        table.add_row(stage, _gpus(place), *amounts, f"{3600 * place.dollars_per_second:.2f}")
    return table


def _gpus(place: Placement) -> str:
    """``H100, A100-80GB`` in order of preference; ``2 x H100:8`` for a cluster; empty without a GPU."""
    nodes = f"{place.nodes} x " if place.nodes > 1 else ""
    return ", ".join(f"{nodes}{gpu}" for gpu in place.gpus)


def _best_first(plan: PlanArtifact) -> list[HardwareOption]:
    """Return the GPU types: the recommended one, then those that fit by cost, then the rest."""
    return sorted(
        plan.hardware, key=lambda option: (option.gpu != plan.recommended_gpu, not option.fits, option.dollars)
    )
