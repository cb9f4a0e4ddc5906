"""What a person sees while a run works, on a terminal and elsewhere, and that Ctrl-C only asks."""

from __future__ import annotations

import io
import os
import signal

import pytest
from rich.console import Console

from local_runner.cli.run import interruptible
from pipeline.control.display import Display
from pipeline.core.context import CallContext


def work(display: Display) -> None:
    """Tell what a call tells."""
    context = CallContext(call_id="train.seed-0", sink=display)
    context.emit("started")
    for _ in context.track(range(3), "training [x]", 3):
        context.emit("metric", step=1, loss=0.5)
    context.warn("rows [7] are long")
    context.emit("log", "waiting for [it]")
    context.emit("checkpoint", step=1)
    context.emit("finished")


def test_without_a_terminal_there_are_plain_lines() -> None:
    out = io.StringIO()
    with Display(Console(file=out, width=80)) as display:
        work(display)
    lines = out.getvalue().splitlines()
    assert lines[-1].startswith("  ✓ train.seed-0 ")
    assert lines[:-1] == [
        "  … train.seed-0",
        "    train.seed-0: training [x] 0/3",
        "  ! train.seed-0: rows [7] are long",
        "  · train.seed-0: waiting for [it]",
    ]


def test_with_json_nothing_is_shown() -> None:
    out = io.StringIO()
    with Display(Console(file=out, force_terminal=True), quiet=True) as display:
        work(display)
    assert out.getvalue() == ""


def test_ctrl_c_asks_once_above_the_bars_and_then_stops() -> None:
    """Text that another console wrote would end up inside a bar; this one moves the bars down."""
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=80, color_system=None)
    before = signal.getsignal(signal.SIGINT)
    with interruptible(console) as cancelled, Display(console) as display:
        context = CallContext(call_id="train.seed-0", sink=display)
        context.emit("started")
        with context.progress("training", 2):
            assert not cancelled()
            os.kill(os.getpid(), signal.SIGINT)
            assert cancelled()
            with pytest.raises(KeyboardInterrupt):
                os.kill(os.getpid(), signal.SIGINT)
    written = out.getvalue()
    erase_line = "\x1b[2K"
    assert f"{erase_line}stopping after the current step; press Ctrl-C again" in written
    assert signal.getsignal(signal.SIGINT) is before
