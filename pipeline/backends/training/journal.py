"""The journal of a training: losses and evaluations by step, with no clock in it.

It travels inside every checkpoint, so that a resumed training leaves the same log as one that was never interrupted.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

Entry = dict[str, float | int]
_FILE = "journal.json"


@dataclass
class Journal:
    """What was measured so far.

    Args:
        lines: what `log.jsonl` will hold: a loss over the last ``every`` steps, or an evaluation.
        loss_sum, steps: over the whole training; their ratio is the mean training loss.
        window_sum, window_steps: since the last line.
        evaluations: evaluation loss by step.
        figures: what else is averaged over the steps since the last line: by name the sum and how often it was added.
        state: numbers that a method carries from step to step.
        warnings: the guards of a training by rewards that were passed.
        finished: nothing is left to train.
        stopped_early: the evaluation loss stopped falling before the last step.
    """

    lines: list[Entry] = field(default_factory=list)
    loss_sum: float = 0.0
    steps: int = 0
    window_sum: float = 0.0
    window_steps: int = 0
    evaluations: dict[int, float] = field(default_factory=dict)
    figures: dict[str, list[float]] = field(default_factory=dict)
    state: dict[str, float] = field(default_factory=dict)
    warnings: list[dict[str, Any]] = field(default_factory=list)
    finished: bool = False
    stopped_early: bool = False

    def add_figures(self, figures: Mapping[str, float]) -> None:
        """Count figures of a step in the means of the line to come."""
        for name, value in figures.items():
            total, count = self.figures.get(name, (0.0, 0.0))
            self.figures[name] = [total + value, count + 1.0]

    def add_step(self, step: int, loss: float, learning_rate: float, every: int) -> Entry | None:
        """Count one optimizer step; return the line it completes, if any."""
        self.loss_sum += loss
        self.steps += 1
        self.window_sum += loss
        self.window_steps += 1
        if step % every:
            return None
        return self.close_window(step, learning_rate)

    def close_window(self, step: int, learning_rate: float) -> Entry | None:
        """Write the line of the steps since the last one; None where there are none."""
        if not self.window_steps:
            return None
        line: Entry = {
            "step": step,
            "loss": self.window_sum / self.window_steps,
            "learning_rate": learning_rate,
            **{name: total / count for name, (total, count) in sorted(self.figures.items())},
        }
        self.lines.append(line)
        self.window_sum, self.window_steps, self.figures = 0.0, 0, {}
        return line

    def add_evaluation(self, step: int, loss: float) -> Entry:
        """Record an evaluation and return its line."""
        self.evaluations[step] = loss
        line: Entry = {"step": step, "eval_loss": loss}
        self.lines.append(line)
        return line

    @property
    def mean_loss(self) -> float:
        """The mean training loss over all steps; NaN before the first."""
        return self.loss_sum / self.steps if self.steps else math.nan

    @property
    def best_step(self) -> int | None:
        """The step of the lowest evaluation loss, the earliest of equals; None without an evaluation."""
        return min(self.evaluations, key=lambda step: (self.evaluations[step], step), default=None)

    @property
    def stale_evaluations(self) -> int:
        """How many evaluations there were since the best one."""
        best = self.best_step
        return 0 if best is None else sum(step > best for step in self.evaluations)

    def save(self, directory: Path) -> None:
        """Write the journal into a checkpoint."""
        (directory / _FILE).write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def load(cls, directory: Path) -> Journal:
        """Read the journal of a whole checkpoint."""
        values = json.loads((directory / _FILE).read_text(encoding="utf-8"))
        values["evaluations"] = {int(step): loss for step, loss in values["evaluations"].items()}
        return cls(**values)
