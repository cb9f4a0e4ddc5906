"""The callback of every training: progress, live metrics, allowance, cadence of saves, early stopping."""

from __future__ import annotations

import math
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback

from pipeline.core.context import CallContext
from pipeline.core.errors import BudgetError, Cancelled
from schemas.train import TrainConfig

if TYPE_CHECKING:
    from pipeline.backends.training.guarded import GuardedTrainer

SAVES_PER_RUN = 10
EVALUATIONS_PER_RUN = 10
LINES_PER_RUN = 200
"""How often a run saves, evaluates (for early stopping) and logs where the config leaves it open."""


class Watch(TrainerCallback):
    """Decides at the end of each step what happens, by the number of the step alone: never by the clock.

    Args:
        config: cadences and patience.
        context: receives progress and metrics; answers whether to go on.
        trainer: whose journal is kept.
        bars: keeps the progress bar open until training is over.
        evaluates: there are validation rows.
    """

    def __init__(
        self,
        config: TrainConfig,
        context: CallContext,
        trainer: GuardedTrainer,
        bars: ExitStack,
        *,
        evaluates: bool,
    ) -> None:
        self.config = config
        self.context = context
        self.trainer = trainer
        self.bars = bars
        self.advance: Callable[[int], None] = lambda _: None
        self.evaluates = evaluates
        self.stop: BaseException | None = None
        self.interrupt = threading.Event()
        self.save_every = self.log_every = 1
        self.evaluate_every: int | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        """Fix the cadences from the number of steps."""
        self.save_every = self.config.save_steps or max(1, math.ceil(state.max_steps / SAVES_PER_RUN))
        self.log_every = max(1, math.ceil(state.max_steps / LINES_PER_RUN))
        if self.config.eval_steps is not None:
            self.evaluate_every = self.config.eval_steps
        elif self.config.early_stopping_patience is not None:
            self.evaluate_every = max(1, math.ceil(state.max_steps / EVALUATIONS_PER_RUN))
        self.advance = self.bars.enter_context(self.context.progress("training", state.max_steps))
        self.advance(state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        """Record the step's loss and decide whether to log, evaluate, save or stop."""
        step, last = state.global_step, state.global_step >= state.max_steps
        journal, rate = self.trainer.journal, self.trainer.step_rate
        line = journal.add_step(step, self.trainer.take_step_loss(), rate, self.log_every)
        if last and line is None:
            line = journal.close_window(step, rate)
        if line is not None:
            self.trainer.close_line(line)
        control.should_log = line is not None
        due = self.evaluate_every is not None and step % self.evaluate_every == 0
        control.should_evaluate = self.evaluates and (last or due)
        control.should_save = last or step % self.save_every == 0
        try:
            self.advance(1)
            if self.interrupt.is_set():
                raise KeyboardInterrupt
        except (BudgetError, Cancelled, KeyboardInterrupt) as error:
            if not last:
                self.stop = error
                self.trainer.interrupted = True
                control.should_save = control.should_training_stop = True

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: dict[str, float], **_: Any) -> None:  # noqa: ARG002
        """Record an evaluation; under early stopping keep the best weights and stop when patience is used up."""
        journal = self.trainer.journal
        journal.add_evaluation(state.global_step, metrics["eval_loss"])
        patience = self.config.early_stopping_patience
        if patience is None:
            return
        if journal.best_step == state.global_step:
            control.should_save = True
        if journal.stale_evaluations >= patience and state.global_step < state.max_steps:
            journal.stopped_early = True
            control.should_save = control.should_training_stop = True

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any], **_: Any) -> None:  # noqa: ARG002
        """Pass the numbers of a log line on as a live metric, except the summary that closes a training."""
        if "train_runtime" not in logs:
            numbers = {name: float(value) for name, value in logs.items() if isinstance(value, (int, float))}
            self.context.emit("metric", "", step=state.global_step, **numbers)


@contextmanager
def first_interrupt_waits(flag: threading.Event) -> Iterator[None]:
    """Let the first Ctrl-C set ``flag``, so that the step in progress ends and is saved; the second one interrupts.

    Outside the main thread, where no signal arrives, this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.getsignal(signal.SIGINT)

    def note(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        if flag.is_set():
            raise KeyboardInterrupt
        flag.set()

    signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
