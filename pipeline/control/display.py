"""What a person sees while a run works: one bar per stage call on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from pipeline.core.errors import HoneError

if TYPE_CHECKING:
    from schemas.events import Event

PLAIN_INTERVAL = 10.0
"""Seconds between two progress lines where there is no terminal."""


class Display:
    """Shows events. Use as a context manager; calling it shows one event."""

    def __init__(self, console: Console, quiet: bool = False) -> None:
        self._console = console
        self._quiet = quiet
        self._live = console.is_terminal and not quiet
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("[bold]{task.fields[call]}[/]"),
            TextColumn("{task.description}"),
            BarColumn(bar_width=28),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}"),
            console=console,
            transient=True,
        )
        self._tasks: dict[str, TaskID] = {}
        self._started: dict[str, float] = {}
        self._last_line = 0.0

    def __enter__(self) -> Self:
        if self._live:
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._progress.stop()

    def __call__(self, event: Event) -> None:
        """Show one event."""
        if self._quiet:
            return
        match event.kind:
            case "started":
                self._started[event.call_id] = event.time
                if self._live:
                    self._tasks[event.call_id] = self._progress.add_task("", call=event.call_id, note="", total=None)
                else:
                    self._console.print(f"  … {event.call_id}", soft_wrap=True)
            case "progress":
                self._show_progress(event)
            case "metric":
                self._show_metric(event)
            case "finished" | "failed":
                self._end(event)
            case "warning" | "recovery":
                self._console.print(f"  [yellow]! {event.call_id}[/]: {escape(event.message)}", soft_wrap=True)
            case "log":
                self._console.print(f"  · {event.call_id}: {escape(event.message)}", soft_wrap=True)
            case "checkpoint":
                pass

    def _show_progress(self, event: Event) -> None:
        label, done, total = str(event.data["label"]), event.data["done"], event.data["total"]
        assert isinstance(done, int) and isinstance(total, int)
        task = self._tasks.get(event.call_id)
        if task is not None:
            self._progress.update(task, description=escape(label), completed=done, total=total)
        elif not self._live and time.monotonic() - self._last_line > PLAIN_INTERVAL:
            self._last_line = time.monotonic()
            self._console.print(f"    {event.call_id}: {escape(label)} {done}/{total}", soft_wrap=True)

    def _show_metric(self, event: Event) -> None:
        task = self._tasks.get(event.call_id)
        shown = ", ".join(
            f"{name} {value:.3g}"
            for name, value in event.data.items()
            if isinstance(value, float) and name in ("loss", "eval_loss")
        )
        if task is not None and shown:
            self._progress.update(task, note=shown)

    def _end(self, event: Event) -> None:
        task = self._tasks.pop(event.call_id, None)
        if task is not None:
            self._progress.remove_task(task)
        seconds = event.time - self._started.pop(event.call_id, event.time)
        mark = "[green]✓[/]" if event.kind == "finished" else "[red]✗[/]"
        self._console.print(f"  {mark} {event.call_id} [dim]{seconds:.1f} s[/]", soft_wrap=True)


def show_error(out: Console, error: HoneError) -> None:
    """Print an error for people: what, where, and the fix."""
    place = f"{escape(error.where)}: " if error.where else ""
    out.print(f"[bold red]error[/]: {place}{escape(error.message)}", soft_wrap=True)
    if error.fix:
        out.print(f"  [bold]fix[/]: {escape(error.fix)}", soft_wrap=True)
