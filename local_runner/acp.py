"""A run's state as the compressed ``training_status`` message that other agents read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.core.errors import SourceError
from schemas.acp import TrainingPlanMessage, TrainingStatus, TrainingStatusMessage

if TYPE_CHECKING:
    from pipeline.control.runs import RunDirectory
    from pipeline.control.status import CallStatus, RunStatus

_STATES = {"running": "running", "finished": "finished", "failed": "failed"}


def answer_file(path: Path, overrides: Sequence[str] = ()) -> TrainingPlanMessage:
    """Return the TRAINING_PLAN that answers the FINETUNE_MODEL message in ``path``, with ``a.b=c`` set in it.

    Raises:
        SourceError: the file cannot be read.
        ConfigError: it is no such message.
    """
    from pipeline.plan.acp import answer, parse

    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"cannot read the message: {error}", where=str(path), fix="name a JSON file") from error
    return answer(parse(text, str(path), overrides))


def training_status(directory: RunDirectory, status: RunStatus) -> TrainingStatusMessage:
    """Return how training stands: the seed under way, or the last one. This machine has no GPU, so no GPU-hours."""
    trainings = [call for call in status.calls if call.id.startswith("train.")]
    current = next((call for call in trainings if call.state == "running"), None)
    shown = current or next((call for call in reversed(trainings) if call.state != "waiting"), trainings[0])
    metrics = dict(shown.metrics or {})
    checkpoints = [f"step_{event.data['step']}" for event in directory.events(shown.id) if event.kind == "checkpoint"]
    return TrainingStatusMessage(
        training_status=TrainingStatus(
            epoch=metrics.pop("epoch", 0.0),
            steps=int(metrics.pop("step", 0)),
            metrics=metrics,
            gpu_hours=0.0,
            est_completion=_remaining(shown),
            checkpoints=tuple(dict.fromkeys(checkpoints)),
            state=_STATES.get(status.state),
        ),
        hash=status.run,
    )


def _remaining(call: CallStatus) -> str | None:
    """Return how long the call still takes at its pace so far, in words."""
    if call.state != "running" or call.progress is None or not call.seconds:
        return None
    _, done, total = call.progress
    if not done:
        return None
    left = call.seconds / done * (total - done)
    if left < 90:
        return f"{left:.0f}s"
    return f"{left / 60:.0f}m" if left < 5400 else f"{left / 3600:.1f}h"
