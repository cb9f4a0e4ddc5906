"""What a stage tells, as a job's events: one line for each step that was logged, none for every tick of a bar."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import JsonValue

from pipeline.service.store.events import NewEvent
from schemas.events import Event

_NUMBERS = {"loss": "train_loss", "eval_loss": "valid_loss", "learning_rate": "learning_rate", "grad_norm": "grad_norm"}
"""Names of a trainer's numbers as OpenAI's metrics have them."""


@dataclass
class Teller:
    """Turns events of one job into what is told of it.

    Args:
        root: the workspace; texts name its files by their ids and say nothing of where it is.
        shelf: the folder of files.
    """

    root: Path
    shelf: Path
    _steps: dict[str, int] = field(default_factory=dict)

    def told(self, event: Event) -> NewEvent | None:
        """Return what is told of an event; None where it is not worth telling."""
        match event.kind:
            case "started":
                return NewEvent(f"{event.call_id} started")
            case "finished":
                return NewEvent(f"{event.call_id} finished")
            case "metric":
                return self._metrics(event)
            case "checkpoint":
                return None  # what is told is that it can be asked
            case "log":
                return NewEvent(f"{event.call_id}: {self.public(event.message)}")
            case "warning" | "recovery":
                return NewEvent(f"{event.call_id}: {self.public(event.message)}", "warn")
            case "failed":
                return NewEvent(f"{event.call_id} failed: {self.public(event.message)}", "error")
            case "progress":
                if event.data.get("label") == "training" and isinstance(total := event.data.get("total"), int):
                    self._steps[event.call_id] = total
                return None

    def public(self, text: str) -> str:
        """Return a text without the places of this machine."""
        for place in (self.shelf, self.root):
            text = text.replace(f"{place}/", "").replace(str(place), "the workspace")
        return text

    def _metrics(self, event: Event) -> NewEvent | None:
        step = event.data.get("step")
        found: dict[str, JsonValue] = {
            _NUMBERS[name]: value
            for name, value in event.data.items()
            if name in _NUMBERS and isinstance(value, (int, float)) and math.isfinite(value)
        }
        if not found or not isinstance(step, int):
            return None
        total = self._steps.get(event.call_id)
        shown = [
            f"{label}={found[name]:.4f}"
            for name, label in (("train_loss", "training loss"), ("valid_loss", "validation loss"))
            if name in found
        ]
        place = f"Step {step}/{total}" if total else f"Step {step}"
        return NewEvent(
            f"{place}: {', '.join(shown) or event.call_id}", data={"step": step, "total_steps": total, **found}
        )
